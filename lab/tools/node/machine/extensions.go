package machine

import (
	"context"
	"time"

	"talosmith.dev/lab/tools/node/agent"
	"talosmith.dev/lab/tools/node/services"
)

const guestAgent = "siderolabs/qemu-guest-agent"

// startExtensions starts the services of the image's extensions, as far as the lab implements them: the guest agent.
func (m *Machine) startExtensions() {
	if !m.o.Image.Has(guestAgent) {
		return
	}

	const id, port = "ext-qemu-guest-agent", "org.qemu.guest_agent.0"

	m.Services.Register(id, services.Controls{})

	if !m.o.Host.HasPort(port) {
		m.Services.Set(id, services.Waiting, "Waiting for file %q to exist", "/dev/virtio-ports/"+port)
	}

	m.others.Go(func(ctx context.Context) {
		for !m.o.Host.HasPort(port) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(5 * time.Second):
			}
		}

		m.Services.Set(id, services.Running, "Started task %s", id)

		err := agent.Run(ctx, "/dev/virtio-ports/"+port, agent.Guest{
			Hostname: m.Hostname, Version: m.o.Image.Version, PowerOff: func() { m.Shutdown("") }, Reboot: func() { m.Reboot("", false) },
		})
		if ctx.Err() == nil {
			m.Services.Set(id, services.Failed, "%v", err)
		}
	})
}
