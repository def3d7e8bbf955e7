package machine

import (
	"net/netip"

	"github.com/cosi-project/runtime/pkg/state"

	"talosmith.dev/lab/tools/node/api"
	"talosmith.dev/lab/tools/node/slots"
)

// Host is what the machine runs on: a guest with disks, or a folder on a developer's machine.
type Host interface {
	// HasState mounts the state partition if there is one; EnsureState and EnsureEphemeral make theirs when needed, and mount them.
	HasState() (bool, error)
	EnsureState() error
	EnsureEphemeral() error
	// Disks publishes what `get disks` and the like show.
	Disks(st state.State)
	// ESP gives access to the boot slots.
	ESP(do func(slots.ESP) error) error
	// SetHostname makes the name known to the kernel and in /etc.
	SetHostname(name string, addresses []netip.Addr, nameservers []netip.Addr) error
	// SetKernelParameters writes sysctls; those of the call before that are missing get their former values.
	SetKernelParameters(sysctls map[string]string) error
	// Addresses are the machine's own, shared ones included.
	Addresses() []netip.Addr
	Unmount()
	Wipe(o api.ResetOptions) error
	Reboot() error
	PowerOff() error
	// HasPort tells whether a named virtio port exists.
	HasPort(name string) bool
}
