package machine

import (
	"log"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"

	"talosmith.dev/lab/tools/node/disks"
	"talosmith.dev/lab/tools/node/resources"
)

// stateFails is whether the volume STATE of this machine can never be made: the kernel argument lab.state=fails.
func (m *Machine) stateFails() bool {
	text, ok := m.o.Args.Value("lab.state")

	return ok && text == "fails"
}

// withoutState is a machine with a config and no volume STATE. In Talos the config is active at once, and is written once
// STATE can be mounted (controllers/config/persistence.go, PersistenceController); the certificate of the API needs no
// volume (controllers/secrets/api.go), and only the volume's status tells of the failure (controllers/block/volume_manager.go).
func (m *Machine) withoutState(cfg config.Provider) {
	m.publishFailedState()
	m.publishConfigured()
	m.publishNetwork()

	log.Printf("volume status: phase waiting -> failed: %s", stateFailure)

	if !cfg.Machine().Type().IsControlPlane() {
		m.others.Go(m.startWorkerAPI)

		return
	}

	if err := m.startControlPlaneAPI(cfg); err != nil {
		m.fail(err)
	}
}

const stateFailure = "no disks matched for volume"

func (m *Machine) publishFailedState() {
	resources.Put(m.State, block.NewVolumeStatus(block.NamespaceName, disks.State), func(r *block.VolumeStatus) {
		spec := r.TypedSpec()
		spec.Phase, spec.PreFailPhase, spec.Type, spec.ErrorMessage = block.VolumePhaseFailed, block.VolumePhaseWaiting, block.VolumeTypePartition, stateFailure
	})
}
