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
	"reflect"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	machinetype "github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	etcdres "github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	clientv3 "go.etcd.io/etcd/client/v3"

	"talosmith.dev/lab/tools/node/agent"
	"talosmith.dev/lab/tools/node/discovery"
	"talosmith.dev/lab/tools/node/etcd"
	"talosmith.dev/lab/tools/node/kube"
	"talosmith.dev/lab/tools/node/network"
	"talosmith.dev/lab/tools/node/resources"
	"talosmith.dev/lab/tools/node/services"
	"talosmith.dev/lab/tools/node/slots"
	"talosmith.dev/lab/tools/node/trustd"
	"talosmith.dev/lab/tools/node/vip"
)

const guestAgent = "siderolabs/qemu-guest-agent"

// bootTimeout is how long the services may take to come up: 70 minutes, unless a kernel argument of the lab's says otherwise.
func (m *Machine) bootTimeout() time.Duration {
	if text, ok := m.o.Args.Value("lab.boot-timeout"); ok {
		if d, err := time.ParseDuration(text); err == nil {
			return d
		}
	}

	return constants.BootTimeout
}

// boot starts everything that the config asks for; a boot that does not finish ends in a reboot.
func (m *Machine) boot(ctx context.Context) {
	m.sequence("boot", machine.SequenceEvent_START, "")

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
		return errors.New("this version is broken (the factory says so)")
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

			if err := m.o.Host.ESP(func(e slots.ESP) error { return e.Adopt(m.o.Image.Version) }); err != nil {
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

// startWorkerAPI closes the front door until a control plane has signed this machine's certificate.
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

func (m *Machine) kubeOptions(cfg config.Provider) kube.Options {
	return kube.Options{
		Config: cfg, Address: m.firstAddress(), Hostname: m.Hostname(), TalosVersion: m.o.Image.Version, BootID: m.o.BootID,
		Dir: filepath.Join(m.o.Paths.Var, "lib", "kube"), EtcdEndpoint: "https://" + netip.AddrPortFrom(m.firstAddress(), 2379).String(),
		Pull: m.images.Binary, Log: m.Store.Writer, Service: m.kubeService, StaticPod: m.staticPod, NodeReady: m.nodeReady,
	}
}

func (m *Machine) controlPlaneWork(ctx context.Context) {
	repeat(ctx, "control plane", func() error { return kube.RunControlPlane(ctx, m.kubeOptions(m.Config())) })
}

func (m *Machine) startKube() {
	m.kube.Go(func(ctx context.Context) {
		repeat(ctx, "kubelet", func() error { return kube.RunKubelet(ctx, m.kubeOptions(m.Config())) })
	})
}

func repeat(ctx context.Context, what string, do func() error) {
	for ctx.Err() == nil {
		if err := do(); err != nil && ctx.Err() == nil {
			log.Printf("%s: %v", what, err)
		}

		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func (m *Machine) stopKube(context.Context) error {
	m.Services.Set("kubelet", services.Stopping, "Stopping")

	err := m.kube.Stop(30 * time.Second)
	m.Services.Set("kubelet", services.Finished, "Service finished successfully")

	return err
}

func (m *Machine) startKubeAgain(context.Context) error {
	m.startKube()

	m.mu.Lock()
	ready := m.etcdReady
	m.mu.Unlock()

	if ready {
		m.kube.Go(m.controlPlaneWork)
	}

	return nil
}

func (m *Machine) kubeService(id string, running, healthy bool, message string) {
	if !running {
		m.Services.Set(id, services.Waiting, "%s", message)

		return
	}

	if state, _, _, ok := m.Services.State(id); !ok || state != services.Running {
		m.Services.Set(id, services.Running, "Started task %s", id)
	}

	m.Services.SetHealth(id, healthy, message)
}

func (m *Machine) sharedAddresses() []netip.Addr {
	var all []netip.Addr
	for _, v := range m.virtualIPs(m.Config()) {
		all = append(all, v.IP)
	}

	return all
}

// virtualIPs are the shared addresses of the config, in its new and its old form.
func (m *Machine) virtualIPs(cfg config.Provider) []vip.Address {
	if cfg == nil {
		return nil
	}

	var all []vip.Address

	for _, v := range cfg.NetworkVirtualIPConfigs() {
		all = append(all, vip.Address{Link: v.Link(), IP: v.VIP()})
	}

	if raw := cfg.RawV1Alpha1(); raw != nil && raw.MachineConfig != nil && raw.MachineConfig.MachineNetwork != nil { //nolint:staticcheck // older configs
		for _, d := range cfg.Machine().Network().Devices() { //nolint:staticcheck // older configs
			if d.VIPConfig() == nil {
				continue
			}

			if ip, err := netip.ParseAddr(d.VIPConfig().IP()); err == nil {
				all = append(all, vip.Address{Link: d.Interface(), IP: ip})
			}
		}
	}

	for i := range all {
		if _, err := net.InterfaceByName(all[i].Link); err != nil { // an alias or a selector: the link of the address' own network
			if link := network.LinkOf(all[i].IP); link != "" {
				all[i].Link = link
			}
		}
	}

	return all
}

func (m *Machine) startVIPs(cfg config.Provider) {
	e := m.Etcd()

	for _, address := range m.virtualIPs(cfg) {
		m.vips.Go(func(ctx context.Context) {
			vip.Run(ctx, address, m.Hostname(), func() (*clientv3.Client, error) { return e.Client(false) }, m.publishNetwork)
		})
	}
}

// startExtensions starts the services of the image's extensions, as far as the lab knows any: the guest agent.
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

// reconfigure makes a running machine follow a changed config: what the change touches is started anew.
func (m *Machine) reconfigure(old, now config.Provider) {
	m.publishConfigured()

	if now.Machine().Type() == machinetype.TypeWorker {
		m.others.Go(m.startWorkerAPI)
	} else if identity, err := m.controlPlaneIdentity(now); err != nil {
		log.Printf("certificate of this machine: %v", err)
	} else if err := m.door.Use(identity); err != nil {
		log.Printf("certificate of this machine: %v", err)
	}

	if !reflect.DeepEqual(m.virtualIPs(old), m.virtualIPs(now)) {
		if err := m.vips.Stop(10 * time.Second); err != nil {
			log.Printf("shared addresses: %v", err)
		}

		m.startVIPs(now)
	}

	a, b := old.RawV1Alpha1(), now.RawV1Alpha1()
	if a != nil && b != nil && reflect.DeepEqual(a.ClusterConfig, b.ClusterConfig) && reflect.DeepEqual(a.MachineConfig.MachineKubelet, b.MachineConfig.MachineKubelet) &&
		reflect.DeepEqual(a.MachineConfig.MachineNodeLabels, b.MachineConfig.MachineNodeLabels) &&
		reflect.DeepEqual(a.MachineConfig.MachineNodeTaints, b.MachineConfig.MachineNodeTaints) &&
		reflect.DeepEqual(a.MachineConfig.MachineNodeAnnotations, b.MachineConfig.MachineNodeAnnotations) {
		return
	}

	if err := m.kube.Stop(60 * time.Second); err != nil {
		log.Printf("Kubernetes: %v", err)
	}

	_ = m.startKubeAgain(context.Background()) //nolint:errcheck // never fails
}
