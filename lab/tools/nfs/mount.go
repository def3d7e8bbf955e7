// Package nfs mounts NFS exports with the kernel's own client, as mount.nfs does, and fails with mount.nfs' words.
package nfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// answerWithin is how long a server may take to accept a connection; the kernel itself would wait for minutes.
const answerWithin = 10 * time.Second

// Mount mounts server:path on target, which must exist. The errors are worded as those of mount.nfs.
func Mount(ctx context.Context, server, path, target string, options []string) error {
	o, err := parseOptions(options)
	if err != nil {
		return err
	}

	address, err := resolve(ctx, server)
	if err != nil {
		return fmt.Errorf("mount.nfs: Failed to resolve server %s: Name or service not known", server)
	}

	local, err := reach(ctx, address, o.port)
	if err != nil {
		return fmt.Errorf("mount.nfs: %s", words(err))
	}

	source := net.JoinHostPort(server, "")
	source = strings.TrimSuffix(source, ":") + ":" + path

	for _, data := range o.attempts(address, local) {
		if err = unix.Mount(source, target, "nfs", o.flags, data); !errors.Is(err, unix.EPROTONOSUPPORT) && !errors.Is(err, unix.EINVAL) {
			break
		}
	}

	return explain(err, source)
}

// Unmount unmounts a folder, also when its server no longer answers; it is no error if nothing is mounted there.
func Unmount(target string) error {
	err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}

	if errors.Is(err, unix.EINVAL) || errors.Is(err, os.ErrNotExist) {
		return nil
	}

	return err
}

func resolve(ctx context.Context, server string) (string, error) {
	server = strings.Trim(server, "[]")
	if net.ParseIP(server) != nil {
		return server, nil
	}

	found, err := net.DefaultResolver.LookupHost(ctx, server)
	if err != nil {
		return "", err
	}

	return found[0], nil
}

// reach connects to the server's port and returns this machine's own address on that connection.
func reach(ctx context.Context, address string, port int) (string, error) {
	dialer := net.Dialer{Timeout: answerWithin}

	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return "", err
	}

	defer conn.Close() // nothing was sent

	host, _, err := net.SplitHostPort(conn.LocalAddr().String())

	return host, err
}

// words is the message that mount.nfs prints for a failed connection.
func words(err error) string {
	var number unix.Errno

	var timeout net.Error

	switch {
	case errors.As(err, &number):
		return sentence(number.Error())
	case errors.As(err, &timeout) && timeout.Timeout():
		return "Connection timed out"
	default:
		return err.Error()
	}
}

// explain turns the kernel's error number into mount.nfs' message for it.
func explain(err error, source string) error {
	var number unix.Errno

	if err == nil || !errors.As(err, &number) {
		return err
	}

	switch number {
	case unix.EACCES:
		return fmt.Errorf("mount.nfs: access denied by server while mounting %s", source)
	case unix.ENOENT, unix.ENOTDIR, unix.EIO, unix.ESTALE:
		return fmt.Errorf("mount.nfs: mounting %s failed, reason given by server: %s", source, sentence(number.Error()))
	case unix.EPROTONOSUPPORT:
		return errors.New("mount.nfs: requested NFS version or transport protocol is not supported")
	case unix.EINVAL:
		return errors.New("mount.nfs: an incorrect mount option was specified")
	case unix.EBUSY:
		return fmt.Errorf("mount.nfs: %s is busy or already mounted or sharecache fail", source)
	case unix.ENODEV:
		return errors.New("mount.nfs: No such device")
	default:
		return fmt.Errorf("mount.nfs: %s", sentence(number.Error()))
	}
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
