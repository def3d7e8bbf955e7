package machine

import (
	"context"
	"log"
	"net/netip"
	"path"
	"path/filepath"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	clientv3 "go.etcd.io/etcd/client/v3"

	"talosmith.dev/lab/tools/node/kube"
	"talosmith.dev/lab/tools/node/services"
)

func (m *Machine) kubeOptions(cfg config.Provider) kube.Options {
	extensions := map[string]string{}
	for _, extension := range m.o.Image.Extensions {
		extensions[path.Base(extension.Name)] = extension.Version
	}

	return kube.Options{
		Config: cfg, Address: m.firstAddress(), Hostname: m.Hostname(), TalosVersion: m.o.Image.Version, BootID: m.o.BootID,
		Dir: filepath.Join(m.o.Paths.Var, "lib", "kube"), EtcdEndpoint: "https://" + netip.AddrPortFrom(m.firstAddress(), 2379).String(),
		EtcdClient: func() (*clientv3.Client, error) { return m.Etcd().Client(false) }, Current: m.Config, Extensions: extensions,
		Pull: m.images.Binary, Log: m.Store.Writer, Service: m.kubeService, StaticPod: m.staticPod, NodeReady: m.nodeReady,
		ConfigVersion: m.kubeConfigVersion,
	}
}

func (m *Machine) controlPlaneWork(ctx context.Context) {
	repeat(ctx, "control plane", func() error { return kube.RunControlPlane(ctx, m.kubeOptions(m.Config())) })
}

func (m *Machine) startKube() {
	m.kubelet.Go(func(ctx context.Context) {
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

// stopKube stops the kubelet alone: containers, and with them the control plane, go on without it.
func (m *Machine) stopKube(context.Context) error {
	m.Services.Set("kubelet", services.Stopping, "Stopping")

	err := m.kubelet.Stop(30 * time.Second)
	m.Services.Set("kubelet", services.Finished, "Service finished successfully")

	return err
}

func (m *Machine) startKubeAgain(context.Context) error {
	m.Services.Set("kubelet", services.Preparing, "Running pre state")
	m.startKube()

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
