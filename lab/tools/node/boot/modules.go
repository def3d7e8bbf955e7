package boot

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Wanted are the kernel modules of a guest, in the order in which they are loaded.
var Wanted = []string{
	"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "virtio_scsi", "sd_mod",
	"ahci", "sr_mod", "isofs",
	"crc32c_generic", "crc32c_intel", "ext4", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8",
	"button", "evdev", "i6300esb", "nfs", "nfsv4",
}

// Modules is the dependency table of one kernel's modules.
type Modules struct {
	root   string
	paths  map[string]string   // name -> path below root
	needs  map[string][]string // path -> paths, the nearest last
	loaded map[string]bool
}

// name is how the kernel calls a module: the file's name, dashes as underscores.
func name(path string) string {
	base := filepath.Base(path)
	base, _, _ = strings.Cut(base, ".ko")

	return strings.ReplaceAll(base, "-", "_")
}

// ReadModules parses a modules.dep; root is the folder its paths are relative to.
func ReadModules(root string, dep io.Reader) (*Modules, error) {
	m := &Modules{root: root, paths: map[string]string{}, needs: map[string][]string{}, loaded: map[string]bool{}}

	lines := bufio.NewScanner(dep)
	lines.Buffer(nil, 1<<20)

	for lines.Scan() {
		path, needs, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			continue
		}

		m.paths[name(path)] = path
		m.needs[path] = strings.Fields(needs)
	}

	return m, lines.Err()
}

// Order returns the files to load for a module: dependencies first, without duplicates. An unknown module (built in, or absent) has none.
func (m *Modules) Order(module string) []string {
	var order []string

	visited := map[string]bool{}

	var add func(path string)

	add = func(path string) {
		if visited[path] {
			return
		}

		visited[path] = true

		for _, need := range m.needs[path] {
			add(need)
		}

		order = append(order, path)
	}

	if path, ok := m.paths[strings.ReplaceAll(module, "-", "_")]; ok {
		add(path)
	}

	return order
}

// Load loads a module and what it needs.
func (m *Modules) Load(module string) error {
	for _, path := range m.Order(module) {
		if m.loaded[path] {
			continue
		}

		m.loaded[path] = true

		if err := insert(filepath.Join(m.root, path)); err != nil {
			return fmt.Errorf("module %s: %w", name(path), err)
		}
	}

	return nil
}

func insert(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // not in this initramfs
	}

	if err != nil {
		return err
	}

	defer f.Close() // read only

	err = unix.FinitModule(int(f.Fd()), "", 0)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV) {
		return nil
	}

	return err
}

// OpenModules reads the table of the running kernel.
func OpenModules() (*Modules, error) {
	var u unix.Utsname

	if err := unix.Uname(&u); err != nil {
		return nil, err
	}

	root := "/lib/modules/" + string(bytes.TrimRight(u.Release[:], "\x00"))

	dep, err := os.Open(root + "/modules.dep")
	if err != nil {
		return nil, err
	}

	defer dep.Close() // read only

	return ReadModules(root, dep)
}
