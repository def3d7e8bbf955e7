package machine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"golang.org/x/sys/unix"

	"talosmith.dev/lab/tools/node/api"
	"talosmith.dev/lab/tools/node/disks"
	"talosmith.dev/lab/tools/node/network"
	"talosmith.dev/lab/tools/node/power"
	"talosmith.dev/lab/tools/node/resources"
	"talosmith.dev/lab/tools/node/slots"
)

// Guest is the host of a machine that is process 1 of its own kernel.
type Guest struct {
	Paths Paths

	mu      sync.Mutex
	mounted map[string]bool
	esp     sync.Mutex
	sysctls kernelParameters
}

func (g *Guest) mount(label, target string) error {
	g.mu.Lock()
	defer g.mu.Unlock()

	if g.mounted[label] {
		return nil
	}

	disk, err := disks.FindSystem()
	if err != nil {
		return err
	}

	for _, before := range []string{disks.Meta, disks.State, disks.Ephemeral} { // always in this order on the disk
		part, err := disk.Ensure(before)
		if err != nil {
			return err
		}

		if before != label {
			continue
		}

		if err := disks.MountPart(part, target); err != nil {
			return err
		}

		break
	}

	if g.mounted == nil {
		g.mounted = map[string]bool{}
	}

	g.mounted[label] = true

	return nil
}

// HasState implements Host.
func (g *Guest) HasState() (bool, error) {
	disk, err := disks.FindSystem()
	if err != nil {
		return false, err
	}

	if _, ok := disk.Find(disks.State); !ok {
		return false, nil
	}

	return true, g.EnsureState()
}

// EnsureState implements Host.
func (g *Guest) EnsureState() error { return g.mount(disks.State, g.Paths.State) }

// EnsureEphemeral implements Host.
func (g *Guest) EnsureEphemeral() error { return g.mount(disks.Ephemeral, g.Paths.Var) }

// Unmount implements Host.
func (g *Guest) Unmount() {
	g.mu.Lock()
	defer g.mu.Unlock()

	_ = disks.Unmount(g.Paths.Var)   // synced in any case
	_ = disks.Unmount(g.Paths.State) // synced in any case
	g.mounted = nil

	unix.Sync()
}

// Wipe implements Host.
func (g *Guest) Wipe(o api.ResetOptions) error {
	g.Unmount()

	var failed error

	for _, path := range o.UserDisks {
		failed = errors.Join(failed, disks.Disk{Path: path}.Wipe())
	}

	if o.KeepSystem {
		return failed
	}

	system, err := disks.FindSystem()
	if err != nil {
		return errors.Join(failed, err)
	}

	if len(o.Labels) > 0 {
		return errors.Join(failed, system.Remove(o.Labels...))
	}

	return errors.Join(failed, system.Wipe())
}

// ESP implements Host.
func (g *Guest) ESP(do func(slots.ESP) error) error {
	g.esp.Lock()
	defer g.esp.Unlock()

	system, err := disks.FindSystem()
	if err != nil {
		return err
	}

	part, ok := system.Find(disks.ESP)
	if !ok {
		return errors.New("no EFI system partition")
	}

	const target = "/run/esp"
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}

	if err := unix.Mount(part.Path, target, "vfat", unix.MS_NOATIME, "iocharset=ascii"); err != nil {
		return fmt.Errorf("mounting the EFI system partition: %w", err)
	}

	return errors.Join(do(slots.ESP{Root: target}), unix.Unmount(target, 0))
}

// SetHostname implements Host.
func (g *Guest) SetHostname(name string, addresses, nameservers []netip.Addr) error {
	var hosts, resolv strings.Builder

	hosts.WriteString("127.0.0.1 localhost\n::1 localhost\n")

	if len(addresses) > 0 && name != "" {
		fmt.Fprintf(&hosts, "%s %s\n", addresses[0], name)
	}

	for _, n := range nameservers {
		fmt.Fprintf(&resolv, "nameserver %s\n", n)
	}

	err := errors.Join(os.WriteFile("/etc/hosts", []byte(hosts.String()), 0o644), os.WriteFile("/etc/resolv.conf", []byte(resolv.String()), 0o644),
		os.WriteFile("/etc/hostname", []byte(name+"\n"), 0o644))

	if name != "" {
		err = errors.Join(err, unix.Sethostname([]byte(name)))
	}

	return err
}

// SetKernelParameters implements Host.
func (g *Guest) SetKernelParameters(sysctls map[string]string) error {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.sysctls.root = "/proc/sys"

	return g.sysctls.apply(sysctls)
}

// Addresses implements Host.
func (g *Guest) Addresses() []netip.Addr {
	var all []netip.Addr

	for _, p := range network.Prefixes() {
		if !p.Prefix.Addr().IsLoopback() {
			all = append(all, p.Prefix.Addr())
		}
	}

	return all
}

// Reboot implements Host.
func (g *Guest) Reboot() error { return power.Reboot() }

// PowerOff implements Host.
func (g *Guest) PowerOff() error { return power.Off() }

// HasPort implements Host.
func (g *Guest) HasPort(name string) bool {
	paths, _ := filepath.Glob("/sys/class/virtio-ports/*/name") // the pattern is good
	for _, path := range paths {
		if readTrimmed(path) != name {
			continue
		}

		// What udev does elsewhere: the port under its name.
		_ = os.MkdirAll("/dev/virtio-ports", 0o755)                                                       // a convenience
		_ = os.Symlink("../"+filepath.Base(filepath.Dir(path)), filepath.Join("/dev/virtio-ports", name)) // there already

		return true
	}

	return false
}

// Disks implements Host.
func (g *Guest) Disks(st state.State) {
	system, systemErr := disks.FindSystem()

	names := disks.Whole()
	if cds, _ := filepath.Glob("/sys/block/sr*"); len(cds) > 0 { // the pattern is good
		for _, cd := range cds {
			names = append(names, filepath.Base(cd))
		}
	}

	for _, name := range names {
		publishDisk(st, name)
	}

	if systemErr != nil {
		return
	}

	resources.Put(st, block.NewSystemDisk(block.NamespaceName, block.SystemDiskID), func(r *block.SystemDisk) {
		*r.TypedSpec() = block.SystemDiskSpec{DiskID: filepath.Base(system.Path), DevPath: system.Path}
	})

	parts, _ := system.Parts() // none then
	for _, p := range parts {
		publishVolume(st, system.Path, p)
	}
}

func publishDisk(st state.State, name string) {
	size, _ := disks.Size("/dev/" + name) // an empty drive
	base := "/sys/block/" + name

	resources.Put(st, block.NewDisk(block.NamespaceName, name), func(r *block.Disk) {
		spec := r.TypedSpec()
		spec.DevPath, spec.IOSize, spec.SectorSize, spec.CDROM = "/dev/"+name, 512, 512, strings.HasPrefix(name, "sr")
		spec.SetSize(size)
		spec.Readonly, spec.Model, spec.Serial = readTrimmed(base+"/ro") == "1", readTrimmed(base+"/device/model"), readTrimmed(base+"/serial")
		spec.Rotational, spec.Modalias, spec.SubSystem = readTrimmed(base+"/queue/rotational") == "1", readTrimmed(base+"/device/modalias"), "/sys/class/block"

		if bus, err := filepath.EvalSymlinks(base); err == nil {
			spec.BusPath = strings.TrimPrefix(filepath.Dir(filepath.Dir(bus)), "/sys/devices")
		}

		switch {
		case strings.HasPrefix(name, "vd"):
			spec.Transport = "virtio"
		case strings.HasPrefix(name, "sr"):
			spec.Transport = "ata"
		case strings.HasPrefix(name, "sd"):
			spec.Transport = "scsi"
		}
	})
}

func publishVolume(st state.State, disk string, p disks.Part) {
	resources.Put(st, block.NewVolumeStatus(block.NamespaceName, p.Label), func(r *block.VolumeStatus) {
		spec := r.TypedSpec()
		spec.Phase, spec.Type, spec.Location, spec.MountLocation = block.VolumePhaseReady, block.VolumeTypePartition, p.Path, p.Path
		spec.ParentLocation, spec.PartitionIndex = disk, p.Number
		spec.SetSize(p.Size)

		if p.Label == disks.State || p.Label == disks.Ephemeral {
			spec.Filesystem = block.FilesystemTypeEXT4
		}
	})
	resources.Put(st, block.NewDiscoveredVolume(block.NamespaceName, filepath.Base(p.Path)), func(r *block.DiscoveredVolume) {
		spec := r.TypedSpec()
		spec.DevPath, spec.Type, spec.Parent, spec.ParentDevPath = p.Path, "partition", filepath.Base(disk), disk
		spec.PartitionLabel, spec.PartitionIndex, spec.SectorSize = p.Label, uint(p.Number), 512
		spec.SetSize(p.Size)
	})
}
