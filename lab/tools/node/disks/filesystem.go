package disks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ext4Magic     = 0xEF53
	resizeRequest = 0x40086610 // EXT4_IOC_RESIZE_FS
	blockSize     = 4096
)

// HasFilesystem tells whether an ext4 file system is there.
func HasFilesystem(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}

	defer f.Close() // read only

	magic := make([]byte, 2)
	_, err = f.ReadAt(magic, 1024+56)

	return err == nil && int(magic[0])|int(magic[1])<<8 == ext4Magic
}

// Format makes an ext4 file system, its inode tables left to be zeroed later, so that a large disk costs no time.
func Format(part Part) error {
	out, err := exec.Command("/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", fmt.Sprint(blockSize), "-L", part.Label,
		"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", part.Path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("making a file system on %s: %w: %s", part.Path, err, strings.TrimSpace(string(out)))
	}

	return nil
}

// MountPart formats a partition if it is blank, mounts it, and grows the file system to the partition's size.
func MountPart(part Part, target string) error {
	if !HasFilesystem(part.Path) {
		if err := Format(part); err != nil {
			return err
		}
	}

	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}

	if err := unix.Mount(part.Path, target, "ext4", unix.MS_NOATIME|unix.MS_NOSUID, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", part.Label, err)
	}

	return grow(part, target)
}

func grow(part Part, target string) error {
	var stat unix.Statfs_t

	if err := unix.Statfs(target, &stat); err != nil {
		return err
	}

	// The inode tables are not counted in stat.Blocks: ask only when more than a twelfth is missing.
	blocks := part.Size / blockSize
	if blocks-blocks/12 <= stat.Blocks {
		return nil
	}

	dir, err := os.Open(target)
	if err != nil {
		return err
	}

	defer dir.Close() // read only

	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), resizeRequest, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return fmt.Errorf("growing %s: %w", part.Label, errno)
	}

	return nil
}

// Unmount unmounts a folder, in the end without waiting for its users.
func Unmount(target string) error {
	err := unix.Unmount(target, 0)
	if errors.Is(err, unix.EBUSY) {
		unix.Sync()

		return unix.Unmount(target, unix.MNT_DETACH)
	}

	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}

	return err
}
