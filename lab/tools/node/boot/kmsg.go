package boot

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// KernelLog writes lines to the kernel's ring buffer, so that dmesg and the console show them, as Talos' own log does.
func KernelLog() (io.Writer, error) {
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on"), 0o644) // rate limit stays
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("7 4 1 7"), 0o644)    // quieter console
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)

	return &kmsg{f}, err
}

type kmsg struct{ f *os.File }

func (k *kmsg) Write(p []byte) (int, error) {
	for line := range bytes.SplitSeq(bytes.TrimRight(p, "\n"), []byte("\n")) {
		if len(line) > 900 { // a record is 1 KiB
			line = line[:900]
		}

		if _, err := fmt.Fprintf(k.f, "<6>[talos] %s\n", line); err != nil {
			return 0, err
		}
	}

	return len(p), nil
}

// KernelArgs are the words of a kernel command line: name=value, or name alone.
type KernelArgs []string

// ReadKernelArgs reads the running kernel's command line.
func ReadKernelArgs() KernelArgs {
	line, _ := os.ReadFile("/proc/cmdline") // no arguments then

	return strings.Fields(string(line))
}

// Value returns the last value given for a name.
func (a KernelArgs) Value(name string) (string, bool) {
	for i := len(a) - 1; i >= 0; i-- {
		if key, value, _ := strings.Cut(a[i], "="); key == name {
			return value, true
		}
	}

	return "", false
}

// ID is the kernel's random name for this boot.
func ID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // never fails

	return strings.TrimSpace(string(id))
}
