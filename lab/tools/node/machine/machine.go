// Package machine is the lab node itself: what Talos' machined does, from the first config to the last unmount.
package machine

import (
	"context"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"

	"talosmith.dev/lab/tools/node/api"
	"talosmith.dev/lab/tools/node/apid"
	"talosmith.dev/lab/tools/node/boot"
	"talosmith.dev/lab/tools/node/discovery"
	"talosmith.dev/lab/tools/node/etcd"
	"talosmith.dev/lab/tools/node/events"
	"talosmith.dev/lab/tools/node/images"
	"talosmith.dev/lab/tools/node/logs"
	"talosmith.dev/lab/tools/node/machineconfig"
	"talosmith.dev/lab/tools/node/nocloud"
	"talosmith.dev/lab/tools/node/resources"
	"talosmith.dev/lab/tools/node/services"
)

// Paths are where things are kept.
type Paths struct{ State, Var, Run, Secrets string }

// Options make a machine.
type Options struct {
	Host   Host
	Paths  Paths
	Image  images.Info
	Args   boot.KernelArgs
	BootID string
	// Listen is the host part of the addresses served: empty for all.
	Listen string
}

// Machine is the lab node.
type Machine struct {
	o        Options
	State    state.State
	Events   *events.Stream
	Services *services.Registry
	Store    *logs.Store
	images   *images.Store
	door     *apid.Server
	poke     chan struct{}

	mu          sync.Mutex
	cfg         config.Provider
	metadata    nocloud.Metadata
	nameservers []netip.Addr
	hostname    string
	stage       runtime.MachineStage
	complete    chan struct{} // closed once there is a bootable config
	running     bool          // the services were started
	held        bool          // the seed's config is empty: never maintenance
	etcd        *etcd.Service
	etcdReady   bool // etcd was healthy once: the control plane may run
	discovery   *discovery.Service
	members     []discovery.Affiliate
	ending      bool
	last        runtime.MachineStatusSpec
	// kube is the control plane; kubelet goes on without it, and the other way round.
	kube, kubelet, others *group
	vips                  *group
}

// New prepares a machine that does nothing yet.
func New(ctx context.Context, o Options) (*Machine, error) {
	st, err := resources.New(ctx)
	if err != nil {
		return nil, err
	}

	m := &Machine{
		o: o, State: st, Events: events.New(), Store: logs.New(), images: images.New(filepath.Join(o.Paths.Var, "lib", "lab", "images"), o.Image.Factory),
		poke: make(chan struct{}, 1), complete: make(chan struct{}), stage: runtime.MachineStageBooting,
		kube: newGroup(ctx), kubelet: newGroup(ctx), others: newGroup(ctx), vips: newGroup(ctx),
	}
	m.Services = services.New(m.serviceChanged)

	return m, nil
}

// Run runs the machine; it returns only when the machine cannot start.
func (m *Machine) Run(ctx context.Context) error {
	go m.watchStatus(ctx)

	m.publishFacts()
	m.sequence("initialize", machine.SequenceEvent_START, "")

	if err := m.serveAPI(); err != nil {
		return err
	}

	m.sequence("initialize", machine.SequenceEvent_STOP, "")

	cfg, err := m.loadPersisted()
	if err != nil {
		log.Printf("the saved machine config cannot be used: %v", err)
	}

	if cfg != nil {
		if err := m.Activate(cfg); err != nil {
			return err
		}
	}

	m.mu.Lock()
	complete := machineconfig.Complete(m.cfg)
	m.mu.Unlock()

	if !complete {
		if err := m.maintenance(ctx); err != nil {
			return err
		}
	}

	m.boot(ctx)
	<-ctx.Done()

	return ctx.Err()
}

// SetPlatform takes the seed's settings; the network is already up.
func (m *Machine) SetPlatform(metadata nocloud.Metadata, nameservers []netip.Addr) {
	m.mu.Lock()
	m.metadata, m.nameservers = metadata, nameservers
	m.mu.Unlock()
	m.publishPlatform()
	m.updateHostname()
	m.publishNetwork()
}

// Hold keeps the machine from entering maintenance mode: the seed has a config that is empty, which Talos waits for.
func (m *Machine) Hold() { m.held = true }

// maintenance serves every client as a reader, until a bootable config is applied.
func (m *Machine) maintenance(ctx context.Context) error {
	if m.held {
		<-ctx.Done()

		return ctx.Err()
	}

	identity, fingerprint, err := m.maintenanceIdentity()
	if err != nil {
		return err
	}

	if err := m.door.Use(identity); err != nil {
		return err
	}

	m.Services.Set("apid", services.Running, "Started task apid in maintenance mode")
	m.Services.SetHealth("apid", true, "")
	m.task("runningMaintenance", machine.TaskEvent_START)
	m.setStage(runtime.MachineStageMaintenance)

	log.Print("entering maintenance service")
	log.Printf("this machine is reachable at: %v", m.o.Host.Addresses())
	log.Printf("server certificate issued, fingerprint: %s", fingerprint)
	log.Printf("upload configuration using talosctl: talosctl apply-config --insecure --nodes %v --file <config.yaml>", m.firstAddress())

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-m.complete:
	}

	m.task("runningMaintenance", machine.TaskEvent_STOP)
	m.setStage(runtime.MachineStageBooting)

	return nil
}

func (m *Machine) statePath(name string) string { return filepath.Join(m.o.Paths.State, name) }

// loadPersisted reads the config of an earlier boot; none is no error.
func (m *Machine) loadPersisted() (config.Provider, error) {
	has, err := m.o.Host.HasState()
	if err != nil || !has {
		return nil, err
	}

	m.o.Host.Disks(m.State)

	data, err := os.ReadFile(m.statePath("config.yaml"))
	if os.IsNotExist(err) {
		return nil, nil
	}

	if err != nil {
		return nil, err
	}

	cfg, err := configloader.NewFromBytes(data)
	if err != nil {
		return nil, err
	}

	m.publishConfig(configres.PersistentID, cfg)

	return cfg, nil
}

// Config implements api.Machine.
func (m *Machine) Config() config.Provider {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.cfg
}

// Activate implements api.Machine.
func (m *Machine) Activate(cfg config.Provider) error {
	m.mu.Lock()
	old := m.cfg
	m.cfg = cfg
	first := machineconfig.Complete(cfg) && !machineconfig.Complete(old)
	running := m.running
	m.mu.Unlock()

	m.publishConfig(configres.ActiveID, cfg)

	if cfg == nil {
		return nil
	}

	m.updateHostname()

	if machineconfig.Complete(cfg) {
		if err := m.o.Host.SetKernelParameters(cfg.Machine().Sysctls()); err != nil {
			log.Printf("kernel parameters: %v", err)
		}
	}

	if first {
		close(m.complete)
	}

	if running && !first {
		go m.reconfigure(old, cfg)
	}

	return nil
}

// Persist implements api.Machine. A config that is not bootable is not kept: there is no state partition before the first bootable one.
func (m *Machine) Persist(cfg config.Provider) error {
	m.publishConfig(configres.PersistentID, cfg)

	if !machineconfig.Complete(cfg) {
		return nil
	}

	if m.stateFails() { // the config stays in memory, and the client is told of success
		return nil
	}

	if err := m.o.Host.EnsureState(); err != nil {
		return err
	}

	m.o.Host.Disks(m.State)

	data, err := cfg.Bytes()
	if err != nil {
		return err
	}

	return writeFile(m.statePath("config.yaml"), data)
}

func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}

	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}

	if closeErr := f.Close(); err == nil {
		err = closeErr
	}

	if err != nil {
		return err
	}

	return os.Rename(path+".new", path)
}

// Version implements api.Machine.
func (m *Machine) Version() string { return m.o.Image.Version }

// Hostname implements api.Machine.
func (m *Machine) Hostname() string {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.hostname
}

// CanBootstrap implements api.Machine.
func (m *Machine) CanBootstrap() bool {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.running
}

// Etcd implements api.Machine.
func (m *Machine) Etcd() *etcd.Service {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.etcd
}

// firstAddress is the address others know this machine by: its first own one, never a shared one.
func (m *Machine) firstAddress() netip.Addr {
	shared := m.sharedAddresses()

	for _, a := range m.o.Host.Addresses() {
		if !slices.Contains(shared, a) {
			return a
		}
	}

	return netip.Addr{}
}

func (m *Machine) isLocal(node string) bool {
	a, err := netip.ParseAddr(node)
	if err != nil {
		return node == "localhost" || node == m.Hostname()
	}

	return a.IsLoopback() && m.o.Listen == "" || slices.Contains(m.o.Host.Addresses(), a)
}

func (m *Machine) resolve(node string) string {
	m.mu.Lock()
	defer m.mu.Unlock()

	for _, a := range m.members {
		if a.Hostname == node && len(a.Addresses) > 0 {
			return a.Addresses[0].String()
		}
	}

	return node
}

func (m *Machine) serveAPI() error {
	if err := os.MkdirAll(m.o.Paths.Run, 0o755); err != nil {
		return err
	}

	socket := filepath.Join(m.o.Paths.Run, "machine.sock")
	_ = os.Remove(socket) // of a previous run

	inner, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}

	server := &api.Server{M: m, State: m.State, Stream: m.Events, Services: m.Services, Store: m.Store}
	go server.Serve(inner) //nolint:errcheck // as long as the machine lives

	outer, err := net.Listen("tcp", net.JoinHostPort(m.o.Listen, "50000"))
	if err != nil {
		return err
	}

	m.door, err = apid.New(outer, apid.Options{Socket: socket, IsLocal: m.isLocal, Resolve: m.resolve})

	m.Services.Register("machined", services.Controls{})
	m.Services.Set("machined", services.Running, "Service started as goroutine")
	m.Services.SetHealth("machined", true, "")
	m.Services.Register("apid", services.Controls{})
	m.Services.Set("apid", services.Preparing, "Running pre state")

	return err
}
