package kube

import (
	"io"
	"os"
	"path/filepath"
	"strings"
)

func (c *containerRun) logFile() string { return c.run.path("logs", c.spec.Name+".log") }

// openLog starts a new log of the container; that of the previous run stays beside it.
func (c *containerRun) openLog() (*os.File, error) {
	path := c.logFile()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}

	if err := os.Rename(path, path+".1"); err != nil && !os.IsNotExist(err) {
		return nil, err
	}

	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// tail is the end of a file, at most so many bytes and 80 lines.
func tail(path string, bytes int64) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}

	defer file.Close() // only read

	if info, err := file.Stat(); err == nil && info.Size() > bytes {
		file.Seek(-bytes, io.SeekEnd) //nolint:errcheck // a longer text then
	}

	text, err := io.ReadAll(io.LimitReader(file, bytes))
	if err != nil {
		return ""
	}

	lines := strings.SplitAfter(string(text), "\n")

	return strings.Join(lines[max(0, len(lines)-80):], "")
}
