package logs_test

import (
	"context"
	"strings"
	"testing"

	"talosmith.dev/lab/tools/node/logs"
)

func TestTailAndBound(t *testing.T) {
	l := logs.New().Of("x")
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		_, _ = l.Write([]byte(line)) // never fails
	}

	read := func(lines int) string {
		var b strings.Builder

		_ = l.Read(context.Background(), lines, false, func(p []byte) error { b.Write(p); return nil }) // send never fails

		return b.String()
	}

	for lines, want := range map[int]string{-1: "one\ntwo\nthree\n", 0: "", 1: "three\n", 2: "two\nthree\n", 9: "one\ntwo\nthree\n"} {
		if got := read(lines); got != want {
			t.Errorf("%d: %q", lines, got)
		}
	}

	for range 300 {
		_, _ = l.Write(make([]byte, 8<<10)) // never fails
	}

	if n := len(read(-1)); n > 1<<20 {
		t.Errorf("%d bytes kept", n)
	}
}
