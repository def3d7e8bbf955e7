package machine

import (
	"errors"
	"log"
	"net/netip"
	"os"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"talosmith.dev/lab/tools/node/api"
	"talosmith.dev/lab/tools/node/resources"
	"talosmith.dev/lab/tools/node/slots"
)

// Folder is the host of a test machine: no guest, no disks, one address; it ends with the process.
type Folder struct {
	Paths   Paths
	Root    string
	Address netip.Addr
}

// HasState implements Host.
func (f *Folder) HasState() (bool, error) {
	_, err := os.Stat(f.Paths.State)

	return err == nil, nil
}

// EnsureState implements Host.
func (f *Folder) EnsureState() error { return os.MkdirAll(f.Paths.State, 0o755) }

// EnsureEphemeral implements Host.
func (f *Folder) EnsureEphemeral() error { return os.MkdirAll(f.Paths.Var, 0o755) }

// Disks implements Host.
func (f *Folder) Disks(st state.State) {
	for _, label := range []string{"STATE", "EPHEMERAL"} {
		resources.Put(st, block.NewVolumeStatus(block.NamespaceName, label), func(r *block.VolumeStatus) {
			r.TypedSpec().Phase, r.TypedSpec().Location = block.VolumePhaseReady, f.Root
			r.TypedSpec().SetSize(10 << 30)
		})
	}
}

// ESP implements Host.
func (f *Folder) ESP(func(slots.ESP) error) error {
	return errors.New("a test machine has no boot slots")
}

// SetHostname implements Host.
func (f *Folder) SetHostname(string, []netip.Addr, []netip.Addr) error { return nil }

// SetKernelParameters implements Host.
func (f *Folder) SetKernelParameters(map[string]string) error { return nil }

// Addresses implements Host.
func (f *Folder) Addresses() []netip.Addr { return []netip.Addr{f.Address} }

// Unmount implements Host.
func (f *Folder) Unmount() {}

// Wipe implements Host.
func (f *Folder) Wipe(o api.ResetOptions) error {
	var failed error

	for label, path := range map[string]string{"STATE": f.Paths.State, "EPHEMERAL": f.Paths.Var} {
		wipe := len(o.Labels) == 0

		for _, l := range o.Labels {
			wipe = wipe || l == label
		}

		if wipe {
			failed = errors.Join(failed, os.RemoveAll(path))
		}
	}

	return failed
}

// Reboot implements Host.
func (f *Folder) Reboot() error {
	log.Print("reboot")
	os.Exit(42)

	return nil
}

// PowerOff implements Host.
func (f *Folder) PowerOff() error {
	log.Print("power off")
	os.Exit(0)

	return nil
}

// HasPort implements Host.
func (f *Folder) HasPort(string) bool { return false }
