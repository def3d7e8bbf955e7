package machine

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	etcdres "github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"

	"talosmith.dev/lab/tools/node/discovery"
	"talosmith.dev/lab/tools/node/etcd"
	"talosmith.dev/lab/tools/node/resources"
	"talosmith.dev/lab/tools/node/services"
	"talosmith.dev/lab/tools/node/slots"
	"talosmith.dev/lab/tools/node/trustd"
)

// bootTimeout is how long the services may take to come up: 70 minutes, unless the lab's kernel argument sets another time.
func (m *Machine) bootTimeout() time.Duration {
	if text, ok := m.o.Args.Value("lab.boot-timeout"); ok {
		if d, err := time.ParseDuration(text); err == nil {
			return d
		}
	}

	return constants.BootTimeout
}

// boot starts everything that the config requires; a boot that does not finish ends in a reboot.
func (m *Machine) boot(ctx context.Context) {
	m.sequence("boot", machine.SequenceEvent_START, "")

	if m.stateFails() {
		m.withoutState(m.Config())

		return
	}

	if err := m.prepare(); err != nil {
		m.fail(err)

		return
	}

	cfg := m.Config()
	controlPlane := cfg.Machine().Type().IsControlPlane()

	m.startDiscovery(cfg)

	if controlPlane {
		if err := m.startControlPlaneAPI(cfg); err != nil {
			m.fail(err)

			return
		}

		m.startEtcd(cfg)
	} else {
		m.others.Go(m.startWorkerAPI)
	}

	m.Services.Register("kubelet", services.Controls{Stop: m.stopKube, Start: m.startKubeAgain})
	m.Services.Set("kubelet", services.Preparing, "Running pre state")
	m.startKube()
	m.startExtensions()

	m.mu.Lock()
	m.running = true
	m.mu.Unlock()

	m.others.Go(m.finishBoot)
}

func (m *Machine) prepare() error {
	if m.o.Image.Broken {
		return errors.New("this version is broken (as configured in the lab's factory)")
	}

	if err := m.o.Host.EnsureState(); err != nil {
		return err
	}

	if err := m.o.Host.EnsureEphemeral(); err != nil {
		return err
	}

	m.o.Host.Disks(m.State)

	for _, dir := range []string{"lib/lab", "lib/kubelet", "log"} {
		if err := os.MkdirAll(filepath.Join(m.o.Paths.Var, dir), 0o755); err != nil {
			return err
		}
	}

	m.publishConfigured()
	m.publishNetwork()

	return nil
}

// finishBoot waits for every service, and then calls the machine running.
func (m *Machine) finishBoot(ctx context.Context) {
	limit := time.After(m.bootTimeout())

	for {
		changed := m.Services.Changed()

		waiting := m.Services.AllUp()
		if len(waiting) == 0 {
			m.sequence("boot", machine.SequenceEvent_STOP, "")
			m.setStage(runtime.MachineStageRunning)
			log.Print("boot sequence: done")

			if err := m.o.Host.ESP(func(e slots.ESP) error { return e.Adopt(m.o.Image.Slot()) }); err != nil {
				log.Printf("the boot slot of this version could not be kept: %v", err)
			}

			return
		}

		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-limit:
			m.fail(fmt.Errorf("failed to start all services: %s not up after %s", strings.Join(waiting, ", "), m.bootTimeout()))

			return
		}
	}
}

func (m *Machine) startDiscovery(cfg config.Provider) {
	self := m.affiliate(cfg)
	m.setMembers([]discovery.Affiliate{self})

	if !cfg.Cluster().Discovery().Enabled() {
		return
	}

	d, err := discovery.New(cfg.Cluster().ID(), cfg.Cluster().Secret(), self, m.setMembers)
	if err != nil {
		log.Printf("discovery: %v", err)

		return
	}

	m.mu.Lock()
	m.discovery = d
	m.mu.Unlock()

	m.others.Go(func(ctx context.Context) {
		if err := d.Run(ctx); err != nil && ctx.Err() == nil {
			log.Printf("discovery: %v", err)
		}
	})
}

func (m *Machine) affiliate(cfg config.Provider) discovery.Affiliate {
	return discovery.Affiliate{
		NodeID: m.nodeID(), Hostname: m.Hostname(), Nodename: m.Hostname(), Addresses: []netip.Addr{m.firstAddress()}, MachineType: cfg.Machine().Type().String(),
		OS: "Talos (" + m.o.Image.Version + ")", ControlPlane: cfg.Machine().Type().IsControlPlane(),
	}
}

// controlPlanes are the addresses of the other control planes.
func (m *Machine) controlPlanes() []netip.Addr {
	own := m.o.Host.Addresses()

	m.mu.Lock()
	defer m.mu.Unlock()

	var all []netip.Addr

	for _, a := range m.members {
		for _, address := range a.Addresses {
			if a.ControlPlane && !contains(own, address) {
				all = append(all, address)
			}
		}
	}

	return all
}

func contains(all []netip.Addr, a netip.Addr) bool {
	for _, one := range all {
		if one == a {
			return true
		}
	}

	return false
}

func (m *Machine) startControlPlaneAPI(cfg config.Provider) error {
	identity, err := m.controlPlaneIdentity(cfg)
	if err != nil {
		return err
	}

	if err := m.door.Use(identity); err != nil {
		return err
	}

	m.Services.Set("apid", services.Running, "Started task apid")
	m.Services.SetHealth("apid", true, "")
	m.Services.Register(trustd.ID, services.Controls{})

	listener, err := net.Listen("tcp", net.JoinHostPort(m.o.Listen, "50001"))
	if err != nil {
		return err
	}

	security := cfg.Machine().Security()

	m.others.Go(func(ctx context.Context) {
		m.Services.Set(trustd.ID, services.Running, "Started task trustd")
		m.Services.SetHealth(trustd.ID, true, "")

		err := trustd.Serve(ctx, listener, identity.Server, security.IssuingCA(), identity.CAs, security.Token())
		if ctx.Err() == nil {
			m.Services.Set(trustd.ID, services.Failed, "%v", err)
		}
	})

	return nil
}

// startWorkerAPI keeps the front door closed until a control plane has signed this machine's certificate.
func (m *Machine) startWorkerAPI(ctx context.Context) {
	m.door.Pause()

	m.Services.Set("apid", services.Waiting, "Waiting for api certificates")

	for wait := 2 * time.Second; ; wait = min(wait+2*time.Second, 15*time.Second) {
		identity, err := m.workerIdentity(ctx, m.Config())
		if err == nil {
			err = m.door.Use(identity)
		}

		if err == nil {
			m.Services.Set("apid", services.Running, "Started task apid")
			m.Services.SetHealth("apid", true, "")

			return
		}

		log.Printf("certificate of this machine: %v", err)

		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (m *Machine) startEtcd(cfg config.Provider) {
	ready := make(chan struct{})
	first := true

	e := etcd.New(etcd.Options{
		Name: m.Hostname(), Address: m.firstAddress(), CA: cfg.Cluster().Etcd().CA(), Image: cfg.Cluster().Etcd().Image(), Extra: cfg.Cluster().Etcd().ExtraArgs(),
		DataDir: filepath.Join(m.o.Paths.Var, "lib", "etcd"), PKIDir: filepath.Join(m.o.Paths.Secrets, "etcd"), Peers: m.controlPlanes,
		Pull: m.images.Binary, Log: m.Store.Writer(etcd.ID), Services: m.Services,
		Healthy: func(member uint64) {
			resources.Put(m.State, etcdres.NewMember(etcdres.NamespaceName, etcdres.LocalMemberID), func(r *etcdres.Member) {
				r.TypedSpec().MemberID = etcdres.FormatMemberID(member)
			})

			if first {
				first = false

				close(ready)
			}
		},
	})

	m.mu.Lock()
	m.etcd = e
	m.mu.Unlock()

	m.others.Go(e.Run)

	m.others.Go(func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-ready:
			m.startVIPs(m.Config())

			m.mu.Lock()
			m.etcdReady = true
			m.mu.Unlock()
			m.kube.Go(m.controlPlaneWork)
		}
	})
}
