package boot

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Reap collects orphans that ended: children of process 1 that this program does not wait for.
// A zombie that is still there after a while is such an orphan; younger ones belong to an exec.Cmd about to be waited for.
func Reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)

	go func() {
		for range ended {
			time.Sleep(10 * time.Second)

			before := zombies()
			if len(before) == 0 {
				continue
			}

			time.Sleep(10 * time.Second)

			for pid := range zombies() {
				if before[pid] {
					_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // gone is what we want
				}
			}
		}
	}()
}

func zombies() map[int]bool {
	found := map[int]bool{}

	entries, _ := os.ReadDir("/proc") // none then
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}

		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}

		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()) {
			found[pid] = true
		}
	}

	return found
}
