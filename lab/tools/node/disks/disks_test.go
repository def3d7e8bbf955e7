package disks_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"talosmith.dev/lab/tools/node/disks"
)

// image makes a disk image with one ESP, and then lengthens it, as an overlay on a bigger disk does.
func image(t *testing.T) string {
	t.Helper()

	if _, err := exec.LookPath("sgdisk"); err != nil {
		t.Skip("needs sgdisk")
	}

	path := filepath.Join(t.TempDir(), "disk.raw")

	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}

	if err := f.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}

	if out, err := exec.Command("sgdisk", "-n", "1:2048:+32M", "-t", "1:EF00", "-c", "1:EFI", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}

	return path
}

func TestPartitionsFollowTheESPAndFillTheDisk(t *testing.T) {
	d := disks.Disk{Path: image(t)}

	for _, label := range []string{disks.Meta, disks.State, disks.Ephemeral} {
		if _, err := d.Ensure(label); err != nil {
			t.Fatal(err)
		}
	}

	parts, err := d.Parts()
	if err != nil || len(parts) != 4 {
		t.Fatalf("%v, %v", parts, err)
	}

	for i, label := range []string{disks.ESP, disks.Meta, disks.State, disks.Ephemeral} {
		if parts[i].Label != label || parts[i].Number != i+1 {
			t.Errorf("%d: %+v", i, parts[i])
		}
	}

	if parts[3].Size < 850<<20 {
		t.Errorf("EPHEMERAL has %d bytes", parts[3].Size)
	}

	if out, err := exec.Command("sgdisk", "-v", d.Path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}

	if err := os.Truncate(d.Path, 2<<30); err != nil {
		t.Fatal(err)
	}

	if grown, err := d.Ensure(disks.Ephemeral); err != nil || grown.Size < 1800<<20 {
		t.Errorf("%+v, %v", grown, err)
	}

	if again, err := d.Ensure(disks.State); err != nil || again.Number != 3 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestRemovedPartitionsComeBackInTheirPlaces(t *testing.T) {
	d := disks.Disk{Path: image(t)}

	for _, label := range []string{disks.Meta, disks.State, disks.Ephemeral} {
		if _, err := d.Ensure(label); err != nil {
			t.Fatal(err)
		}
	}

	// Zeroing needs device nodes, which an image file has not: only the table is looked at here.
	for _, number := range []string{"3", "4"} {
		if err := os.WriteFile(d.Path+number, make([]byte, 4<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	if err := d.Remove(disks.State, disks.Ephemeral); err != nil {
		t.Fatal(err)
	}

	if _, ok := d.Find(disks.State); ok {
		t.Error("STATE is still there")
	}

	if p, err := d.Ensure(disks.State); err != nil || p.Number != 3 {
		t.Errorf("%+v, %v", p, err)
	}
}
