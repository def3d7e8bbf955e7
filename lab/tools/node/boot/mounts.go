// Package boot makes a usable Linux out of a bare kernel and an initramfs: mounts, modules, log, clock.
package boot

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

var mounts = []mount{
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
	{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
	{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "ptmxmode=000,mode=620,gid=5"},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, ""},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "size=64m"},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
}

// Mount mounts the kernel's file systems; it fails only for those that nothing works without.
func Mount() error {
	for i, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}

		err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data)
		if err != nil && err != unix.EBUSY && i < 3 {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}

	for link, target := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"} {
		_ = os.Symlink(target, link) // there already
	}

	_ = os.MkdirAll("/system/run/machined", 0o755) // a failure shows when the socket is created

	return nil
}
