package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sandbox is a container's process, its root folder and what is mounted there.
type sandbox struct {
	root         string
	mounts       []string
	cmd          *exec.Cmd
	confinement  confinement
	done         chan struct{}
	code, signal int
	once         sync.Once
}

// prepare makes the container's root folder and command.
func (c *containerRun) prepare(p program) (*sandbox, error) {
	box := &sandbox{root: c.run.path("containers", c.spec.Name), done: make(chan struct{})}
	if err := removeTree(box.root); err != nil {
		return nil, err
	}

	for _, dir := range []string{"dev", "proc", "sys", "tmp", "etc", "root", "var/run"} {
		if err := os.MkdirAll(filepath.Join(box.root, dir), 0o755); err != nil {
			return nil, err
		}
	}

	if err := os.Chmod(filepath.Join(box.root, "tmp"), 0o777|os.ModeSticky); err != nil {
		return box, err
	}

	for _, shared := range []string{"/dev", "/proc", "/sys", "/etc/resolv.conf", "/etc/hosts"} {
		if err := box.bind(shared, shared, false); err != nil && !errors.Is(err, os.ErrNotExist) {
			return box, err
		}
	}

	for inside, outside := range p.files {
		if err := box.bind(outside, inside, true); err != nil {
			return box, err
		}
	}

	for _, mount := range c.spec.VolumeMounts {
		source, err := c.run.volumePath(mount.Name)
		if err == nil {
			err = box.bind(filepath.Join(source, filepath.Clean("/"+mount.SubPath)), mount.MountPath, mount.ReadOnly)
		}

		if err != nil {
			return box, fmt.Errorf("volume %s: %w", mount.Name, err)
		}
	}

	return box, c.command(box, p)
}

// command is the container's process with its environment.
func (c *containerRun) command(box *sandbox, p program) error {
	env := c.environment()
	words := slices.Clone(c.spec.Command)

	if len(words) == 0 {
		words = slices.Clone(p.entrypoint)
	}

	words = append(words, c.spec.Args...)
	for i := range words {
		words[i] = expand(words[i], env)
	}

	log, err := c.openLog()
	if err != nil {
		return err
	}

	path := words[0]
	if !strings.Contains(path, "/") {
		path = "/bin/" + path
	}

	if _, err := os.Lstat(filepath.Join(box.root, path)); err != nil {
		return fmt.Errorf("exec: %q: executable file not found in $PATH", words[0])
	}

	box.cmd = &exec.Cmd{Path: path, Args: words, Dir: "/", Stdout: log, Stderr: log}
	if c.spec.WorkingDir != "" {
		box.cmd.Dir = c.spec.WorkingDir
	}

	for _, variable := range env {
		box.cmd.Env = append(box.cmd.Env, variable.Name+"="+variable.Value)
	}

	box.confinement = confine(c)
	box.cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: box.root, Setsid: true, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Credential: box.confinement.credential,
	}

	return nil
}

// bind shows a file or folder of this machine inside the root folder.
func (box *sandbox) bind(source, inside string, readOnly bool) error {
	target := filepath.Join(box.root, filepath.Clean("/"+inside))

	info, err := os.Stat(source)
	if err != nil {
		return err
	}

	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(target, os.O_CREATE, 0o644); err == nil {
			err = file.Close()
		}
	}

	if err != nil {
		return err
	}

	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", inside, err)
	}

	box.mounts = append(box.mounts, target)

	if readOnly {
		// A bind mount is made read-only in a second step, and keeps the flags of what it shows.
		return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|lockedFlags(target), "")
	}

	return nil
}

func (box *sandbox) start() error {
	err := box.confinement.start(box.cmd)

	if log, ok := box.cmd.Stdout.(*os.File); ok {
		log.Close() // the process has its own
	}

	if err != nil {
		return err
	}

	go func() {
		box.cmd.Wait() //nolint:errcheck // the process state has the result

		if status, ok := box.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			box.signal = int(status.Signal())
			box.code = 128 + box.signal
		} else {
			box.code = box.cmd.ProcessState.ExitCode()
		}

		box.remove()
		close(box.done)
	}()

	return nil
}

func (box *sandbox) wait() (code, signal int) {
	<-box.done

	return box.code, box.signal
}

func (box *sandbox) kill() { box.cmd.Process.Kill() } //nolint:errcheck // it has ended then

func (box *sandbox) stop(ctx context.Context, grace time.Duration) {
	if grace > 0 {
		box.cmd.Process.Signal(unix.SIGTERM) //nolint:errcheck // it has ended then

		select {
		case <-box.done:
			return
		case <-ctx.Done():
		case <-time.After(grace):
		}
	}

	box.kill()
	<-box.done
}

// remove removes the mounts and the root folder.
func (box *sandbox) remove() {
	box.once.Do(func() {
		for _, target := range slices.Backward(box.mounts) {
			if unix.Unmount(target, unix.UMOUNT_NOFOLLOW) != nil {
				unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) //nolint:errcheck // removeTree looks
			}
		}

		removeTree(box.root) //nolint:errcheck // what stays is empty folders
	})
}
