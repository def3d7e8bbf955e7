package machine

import (
	"log"
	"reflect"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	machinetype "github.com/siderolabs/talos/pkg/machinery/config/machine"
)

// reconfigure makes a running machine follow a changed config: what the change affects is restarted. Kubernetes looks for
// changes itself.
func (m *Machine) reconfigure(old, now config.Provider) {
	m.publishConfigured()

	if now.Machine().Type() == machinetype.TypeWorker {
		m.others.Go(m.startWorkerAPI)
	} else if identity, err := m.controlPlaneIdentity(now); err != nil {
		log.Printf("certificate of this machine: %v", err)
	} else if err := m.door.Use(identity); err != nil {
		log.Printf("certificate of this machine: %v", err)
	}

	// As on Talos, another kubelet is started only once the old one has ended.
	if old.Machine().Kubelet().Image() != now.Machine().Kubelet().Image() {
		if err := m.Services.Restart(stateContext, "kubelet"); err != nil {
			log.Printf("kubelet: %v", err)
		}
	}

	if !reflect.DeepEqual(m.virtualIPs(old), m.virtualIPs(now)) {
		if err := m.vips.Stop(10 * time.Second); err != nil {
			log.Printf("shared addresses: %v", err)
		}

		m.startVIPs(now)
	}
}
