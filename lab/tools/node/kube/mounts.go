package kube

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// removeTree removes a folder with its contents, but never what is mounted in it: that may be a user's data.
func removeTree(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}

	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}

		if where := unescape(fields[4]); where == dir || strings.HasPrefix(where, dir+"/") {
			return fmt.Errorf("%s is still mounted", where)
		}
	}

	return os.RemoveAll(dir)
}

// unescape reads a path as mountinfo writes it.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// lockedFlags are the flags of a mount that a bind mount of it must keep.
func lockedFlags(path string) uintptr {
	var stat unix.Statfs_t
	if unix.Statfs(path, &stat) != nil {
		return 0
	}

	var flags uintptr

	for _, pair := range []struct{ st, ms uintptr }{
		{unix.ST_NOSUID, unix.MS_NOSUID}, {unix.ST_NODEV, unix.MS_NODEV}, {unix.ST_NOEXEC, unix.MS_NOEXEC},
		{unix.ST_NOATIME, unix.MS_NOATIME}, {unix.ST_NODIRATIME, unix.MS_NODIRATIME}, {unix.ST_RELATIME, unix.MS_RELATIME},
	} {
		if uintptr(stat.Flags)&pair.st != 0 {
			flags |= pair.ms
		}
	}

	return flags
}
