// Package disks keeps the partitions of the system disk: META, STATE and EPHEMERAL behind the ESP, and the file systems in them.
package disks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/siderolabs/go-blockdevice/v2/block"
	"github.com/siderolabs/go-blockdevice/v2/partitioning/gpt"
)

// Partition labels, as Talos calls them.
const (
	ESP       = "EFI"
	Meta      = "META"
	State     = "STATE"
	Ephemeral = "EPHEMERAL"
)

const mib = 1 << 20

var (
	espType   = uuid.MustParse("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
	linuxType = uuid.MustParse("0FC63DAF-8483-4772-8E79-3D69D8477DE4")

	sizes = map[string]uint64{Meta: mib, State: 100 * mib, Ephemeral: 0} // 0: all that is left
)

// ErrNoSystemDisk means that no disk has an ESP.
var ErrNoSystemDisk = errors.New("no system disk found")

// Disk is the system disk.
type Disk struct{ Path string }

// Part is one partition of the system disk.
type Part struct {
	Number int
	Label  string
	Path   string
	Size   uint64
}

// FindSystem returns the disk that has an ESP.
func FindSystem() (Disk, error) {
	for _, name := range Whole() {
		d := Disk{Path: "/dev/" + name}
		if parts, err := d.Parts(); err == nil && slices.ContainsFunc(parts, func(p Part) bool { return p.Label == ESP }) {
			return d, nil
		}
	}

	return Disk{}, ErrNoSystemDisk
}

// Whole lists the names of the disks, without CD-ROMs and memory-backed devices.
func Whole() []string {
	entries, _ := os.ReadDir("/sys/block") // none then

	var names []string

	for _, e := range entries {
		if !slices.ContainsFunc([]string{"sr", "loop", "ram", "zram", "fd", "nbd", "dm-"}, func(p string) bool { return strings.HasPrefix(e.Name(), p) }) {
			names = append(names, e.Name())
		}
	}

	return names
}

func (d Disk) partPath(number int) string {
	if last := d.Path[len(d.Path)-1]; last >= '0' && last <= '9' {
		return d.Path + "p" + strconv.Itoa(number)
	}

	return d.Path + strconv.Itoa(number)
}

func (d Disk) open(write bool) (*gpt.Table, func(), error) {
	var options []block.Option
	if write {
		options = append(options, block.OpenForWrite())
	}

	dev, err := block.NewFromPath(d.Path, options...)
	if err != nil {
		return nil, nil, err
	}

	done := func() { dev.Close() } // synced by Write

	var g gpt.Device

	if info, statErr := dev.File().Stat(); statErr == nil && info.Mode().IsRegular() { // in tests
		g, err = gpt.DeviceFromFile(dev.File())
	} else {
		g, err = gpt.DeviceFromBlockDevice(dev)
	}

	if err != nil {
		done()

		return nil, nil, err
	}

	table, err := gpt.Read(g)
	if err != nil {
		done()

		return nil, nil, err
	}

	return table, done, nil
}

// Parts lists the partitions; the ESP is recognized by its type, whatever its label is.
func (d Disk) Parts() ([]Part, error) {
	table, done, err := d.open(false)
	if err != nil {
		return nil, err
	}

	defer done()

	var parts []Part

	for i, p := range table.Partitions() {
		if p == nil {
			continue
		}

		label := p.Name
		if p.TypeGUID == espType {
			label = ESP
		}

		parts = append(parts, Part{Number: i + 1, Label: label, Path: d.partPath(i + 1), Size: (p.LastLBA - p.FirstLBA + 1) * 512})
	}

	return parts, nil
}

// Find returns the partition of a label.
func (d Disk) Find(label string) (Part, bool) {
	parts, _ := d.Parts() // none then
	for _, p := range parts {
		if p.Label == label {
			return p, true
		}
	}

	return Part{}, false
}

// Ensure creates the partition with a label unless it exists; EPHEMERAL takes, and later grows into, all the free space.
func (d Disk) Ensure(label string) (Part, error) {
	table, done, err := d.open(true)
	if err != nil {
		return Part{}, err
	}

	defer done()

	index := slices.IndexFunc(table.Partitions(), func(p *gpt.Partition) bool { return p != nil && p.Name == label })

	changed := true

	switch {
	case index < 0:
		size := sizes[label]
		if size == 0 {
			size = table.LargestContiguousAllocatable()
		}

		if _, _, err = table.AllocatePartition(size, label, linuxType); err != nil {
			return Part{}, fmt.Errorf("no room for %s: %w", label, err)
		}
	case label == Ephemeral:
		growth, growErr := table.AvailablePartitionGrowth(index)
		if changed = growErr == nil && growth > mib; changed {
			err = table.GrowPartition(index, growth)
		}
	default:
		changed = false
	}

	if err == nil && changed {
		err = table.Write()
	}

	if err != nil {
		return Part{}, err
	}

	part, ok := d.Find(label)
	if !ok {
		return Part{}, fmt.Errorf("%s vanished", label)
	}

	return part, waitForNode(part.Path)
}

// Remove removes the partitions with these labels from the table and zeroes their first MiB.
func (d Disk) Remove(labels ...string) error {
	for _, label := range labels {
		if part, ok := d.Find(label); ok {
			if err := zero(part.Path, min(part.Size, 4*mib)); err != nil {
				return err
			}
		}
	}

	table, done, err := d.open(true)
	if err != nil {
		return err
	}

	defer done()

	for i, p := range table.Partitions() {
		if p != nil && slices.Contains(labels, p.Name) {
			if err := table.DeletePartition(i); err != nil {
				return err
			}
		}
	}

	return table.Write()
}

// Wipe destroys the whole disk's contents as far as any program looks: partition tables and the start of every partition.
func (d Disk) Wipe() error {
	parts, _ := d.Parts() // wiped below all the same
	for _, p := range parts {
		if err := zero(p.Path, min(p.Size, 4*mib)); err != nil {
			return err
		}
	}

	size, err := Size(d.Path)
	if err != nil {
		return err
	}

	if err := zero(d.Path, mib); err != nil {
		return err
	}

	return zeroAt(d.Path, int64(size-mib), mib)
}

// Size is the size of a block device or file in bytes.
func Size(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}

	defer f.Close() // read only

	end, err := f.Seek(0, 2)

	return uint64(end), err
}

func zero(path string, bytes uint64) error { return zeroAt(path, 0, bytes) }

func zeroAt(path string, offset int64, bytes uint64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}

	_, err = f.WriteAt(make([]byte, bytes), offset)

	return errors.Join(err, f.Sync(), f.Close())
}

func waitForNode(path string) error {
	if filepath.Dir(path) != "/dev" {
		return nil
	}

	for range 50 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}

		time.Sleep(100 * time.Millisecond)
	}

	return fmt.Errorf("%s does not appear", path)
}
