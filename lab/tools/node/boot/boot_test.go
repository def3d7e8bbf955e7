package boot_test

import (
	"slices"
	"strings"
	"testing"

	"talosmith.dev/lab/tools/node/boot"
)

func TestLoadsDependenciesFirst(t *testing.T) {
	m, err := boot.ReadModules("/lib/modules/x", strings.NewReader(
		"kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko\nkernel/fs/jbd2/jbd2.ko:\nkernel/fs/mbcache.ko:\nkernel/fs/nls/nls_iso8859-1.ko:\n"+
			"a/b.ko: a/c.ko\na/c.ko: a/d.ko\na/d.ko:\n"))
	if err != nil {
		t.Fatal(err)
	}

	for module, want := range map[string][]string{
		"ext4":          {"kernel/fs/jbd2/jbd2.ko", "kernel/fs/mbcache.ko", "kernel/fs/ext4/ext4.ko"},
		"nls_iso8859-1": {"kernel/fs/nls/nls_iso8859-1.ko"},
		"b":             {"a/d.ko", "a/c.ko", "a/b.ko"},
		"built-in":      nil,
	} {
		if got := m.Order(module); !slices.Equal(got, want) {
			t.Errorf("%s: %v", module, got)
		}
	}
}

func TestLastKernelArgumentCounts(t *testing.T) {
	args := boot.KernelArgs{"console=tty1", "quiet", "console=ttyS0"}

	if v, ok := args.Value("console"); v != "ttyS0" || !ok {
		t.Errorf("%q %v", v, ok)
	}

	if _, ok := args.Value("absent"); ok {
		t.Error("absent argument found")
	}
}
