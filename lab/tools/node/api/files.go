package api

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type dataStream interface{ Send(*common.Data) error }

// chunks is a writer that sends what is written to it.
type chunks struct{ stream dataStream }

func (c chunks) Write(p []byte) (int, error) {
	return len(p), c.stream.Send(&common.Data{Bytes: append([]byte(nil), p...)})
}

// Read implements machine.MachineService.
func (s *Server) Read(in *machine.ReadRequest, stream machine.MachineService_ReadServer) error {
	info, err := os.Stat(in.GetPath())
	if errors.Is(err, fs.ErrNotExist) {
		return status.Error(codes.NotFound, err.Error())
	}

	if err != nil {
		return err
	}

	if !info.Mode().IsRegular() {
		return errors.New("path must be a regular file")
	}

	f, err := os.Open(in.GetPath())
	if err != nil {
		return err
	}

	defer f.Close() // read only

	_, err = io.CopyBuffer(chunks{stream}, struct{ io.Reader }{f}, make([]byte, 32<<10))

	return err
}

// Copy implements machine.MachineService: a tar.gz of a file or folder.
func (s *Server) Copy(in *machine.CopyRequest, stream machine.MachineService_CopyServer) error {
	root := filepath.Clean(in.GetRootPath())
	if !filepath.IsAbs(root) {
		return fmt.Errorf("path is not absolute %v", root)
	}

	buffered := bufio.NewWriterSize(chunks{stream}, 32<<10)
	zipped := gzip.NewWriter(buffered)
	archive := tar.NewWriter(zipped)

	err := errors.Join(addTree(archive, root), archive.Close(), zipped.Close(), buffered.Flush())
	if err != nil {
		return stream.Send(&common.Data{Metadata: &common.Metadata{Error: err.Error()}})
	}

	return nil
}

func addTree(archive *tar.Writer, root string) error {
	return filepath.Walk(root, func(path string, info fs.FileInfo, err error) error {
		if err != nil {
			return err
		}

		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}

		if name == "." {
			if info.IsDir() {
				return nil // the client has made a folder for what is in it
			}

			name = filepath.Base(path)
		}

		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(path); err != nil {
				return err
			}
		}

		header, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return nil // a socket
		}

		header.Name = name
		if err := archive.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}

		f, err := os.Open(path)
		if err != nil {
			return err
		}

		defer f.Close() // read only

		_, err = io.CopyN(archive, f, info.Size())

		return err
	})
}

// List implements machine.MachineService.
func (s *Server) List(in *machine.ListRequest, stream machine.MachineService_ListServer) error {
	root := filepath.Clean("/" + in.GetRoot())

	depth := 1
	if in.GetRecurse() {
		depth = int(in.GetRecursionDepth())
	}

	wanted := func(info fs.FileInfo) bool {
		if len(in.GetTypes()) == 0 {
			return true
		}

		for _, t := range in.GetTypes() {
			if (t == machine.ListRequest_REGULAR && info.Mode().IsRegular()) || (t == machine.ListRequest_DIRECTORY && info.IsDir()) ||
				(t == machine.ListRequest_SYMLINK && info.Mode()&fs.ModeSymlink != 0) {
				return true
			}
		}

		return false
	}

	if _, err := os.Lstat(root); err != nil {
		return err
	}

	return filepath.Walk(root, func(path string, info fs.FileInfo, err error) error {
		relative, relErr := filepath.Rel(root, path)
		if relErr != nil {
			return relErr
		}

		if err != nil {
			return stream.Send(&machine.FileInfo{Name: path, RelativeName: relative, Error: err.Error()})
		}

		if relative == "." && !info.IsDir() {
			relative = info.Name()
		}

		if wanted(info) {
			if err := stream.Send(fileInfo(path, relative, info)); err != nil {
				return err
			}
		}

		if level := strings.Count(relative, "/") + 1; info.IsDir() && relative != "." && depth > 0 && level >= depth {
			return fs.SkipDir
		}

		return nil
	})
}

func fileInfo(path, relative string, info fs.FileInfo) *machine.FileInfo {
	f := &machine.FileInfo{
		Name: path, RelativeName: relative, Size: info.Size(), Mode: uint32(info.Mode()), Modified: info.ModTime().Unix(), IsDir: info.IsDir(),
	}

	if info.Mode()&fs.ModeSymlink != 0 {
		f.Link, _ = os.Readlink(path) // shown without
	}

	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Uid, f.Gid = st.Uid, st.Gid
	}

	return f
}

var (
	facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "local0"}
	priorities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

func pick(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}

	return strconv.Itoa(i)
}

// Dmesg implements machine.MachineService.
func (s *Server) Dmesg(req *machine.DmesgRequest, stream machine.MachineService_DmesgServer) error {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("error opening /dev/kmsg reader: %w", err)
	}

	defer unix.Close(fd) // read only

	if req.GetTail() {
		if _, err := unix.Seek(fd, 0, io.SeekEnd); err != nil {
			return err
		}
	}

	started := time.Now().Add(-uptime())
	record := make([]byte, 8192)

	for stream.Context().Err() == nil {
		n, err := unix.Read(fd, record)

		switch {
		case errors.Is(err, unix.EPIPE): // overwritten while we read
			continue
		case errors.Is(err, unix.EAGAIN):
			if !req.GetFollow() {
				return nil
			}

			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}

			continue
		case err != nil:
			return err
		}

		if line, ok := kmsgLine(record[:n], started); ok {
			if err := stream.Send(&common.Data{Bytes: line}); err != nil {
				return err
			}
		}
	}

	return stream.Context().Err()
}

// kmsgLine turns a record of /dev/kmsg ("priority,sequence,microseconds,flags;text") into a line of talosctl dmesg.
func kmsgLine(record []byte, started time.Time) ([]byte, bool) {
	head, text, ok := bytes.Cut(record, []byte(";"))
	fields := strings.Split(string(head), ",")

	if !ok || len(fields) < 3 {
		return nil, false
	}

	priority, err1 := strconv.Atoi(fields[0])
	micros, err2 := strconv.ParseInt(fields[2], 10, 64)

	if err1 != nil || err2 != nil {
		return nil, false
	}

	text, _, _ = bytes.Cut(text, []byte("\n"))

	return fmt.Appendf(nil, "%s: %7s: [%s]: %s\n", pick(facilities, priority>>3), pick(priorities, priority&7),
		started.Add(time.Duration(micros)*time.Microsecond).UTC().Format(time.RFC3339Nano), text), true
}

func uptime() time.Duration {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}

	return time.Duration(info.Uptime) * time.Second
}
