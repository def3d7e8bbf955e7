// Package slots keeps the boot slots on the ESP: every installed image as EFI/Linux/Talos-<version>-<schematic>.efi, the one to boot as EFI/BOOT/BOOTX64.EFI.
package slots

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ESP is a mounted EFI system partition.
type ESP struct{ Root string }

const kept = 2

func (e ESP) active() string { return filepath.Join(e.Root, "EFI", "BOOT", "BOOTX64.EFI") }

func (e ESP) path(slot string) string {
	return filepath.Join(e.Root, "EFI", "Linux", "Talos-"+slot+".efi")
}

// Installed lists the slots.
func (e ESP) Installed() []string {
	paths, _ := filepath.Glob(e.path("*")) // the pattern is good

	var slots []string

	for _, p := range paths {
		name := filepath.Base(p)
		slots = append(slots, strings.TrimSuffix(strings.TrimPrefix(name, "Talos-"), ".efi"))
	}

	return slots
}

// Adopt gives the running image a slot, if it has none yet: the disk image comes with the active file alone.
func (e ESP) Adopt(slot string) error {
	if _, err := os.Stat(e.path(slot)); err == nil {
		return nil
	}

	f, err := os.Open(e.active())
	if err != nil {
		return err
	}

	defer f.Close() // read only

	return write(e.path(slot), f)
}

// Install writes a slot from what fill writes; all slots but this one and keep are removed.
func (e ESP) Install(slot, keep string, fill func(io.Writer) error) error {
	for _, v := range e.Installed() {
		if v != keep && v != slot && len(e.Installed()) >= kept {
			if err := os.Remove(e.path(v)); err != nil {
				return err
			}
		}
	}

	r, w := io.Pipe()

	go func() { w.CloseWithError(fill(w)) }() // never fails

	return write(e.path(slot), r)
}

// Activate makes a slot the one to boot.
func (e ESP) Activate(slot string) error {
	f, err := os.Open(e.path(slot))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no Talos-%s.efi to boot", slot)
	}

	if err != nil {
		return err
	}

	defer f.Close() // read only

	return write(e.active(), f)
}

// write replaces a file by a complete new one, on disk before it gets its name.
func write(path string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}

	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}

	_, err = io.CopyBuffer(f, from, make([]byte, 256<<10))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path + ".new") // the first error counts

		return err
	}

	return os.Rename(path+".new", path)
}
