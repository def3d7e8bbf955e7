// Package kube runs Kubernetes on a lab node: the real control plane as processes, and a small kubelet.
package kube

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Options is what the platform gives to Kubernetes.
type Options struct {
	// Config is the node's machine config.
	Config config.Provider
	// Address is the node's own address.
	Address  netip.Addr
	Hostname string
	// TalosVersion is reported as the node's operating system.
	TalosVersion string
	BootID       string
	// Dir is a folder that survives reboots. Pods and their volumes live beside it, in kubelet/pods.
	Dir string
	// EtcdEndpoint is the node's own etcd: https://<address>:2379.
	EtcdEndpoint string
	// EtcdClient connects to the cluster's etcd. May be nil: then API servers start without waiting for each other.
	EtcdClient func() (*clientv3.Client, error)
	// Pull fetches the program of a container image.
	Pull func(ctx context.Context, imageRef string) (string, error)
	// Log gives a service's log.
	Log func(service string) io.Writer
	// Service reports a service's state.
	Service func(id string, running, healthy bool, message string)
	// StaticPod reports a static pod's readiness, by its full name (kube-system/kube-apiserver-<node>).
	StaticPod func(name string, ready bool)
	// NodeReady reports the node's state in Kubernetes.
	NodeReady func(ready bool, unschedulable bool)

	// Current returns the newest machine config; what it changes is restarted, everything else keeps running.
	// May be nil: then Config is the only one.
	Current func() config.Provider
	// Extensions are system extensions, name to version, for the Node's labels and annotations. May be nil.
	Extensions map[string]string
	// ConfigVersion is the version of the configuration resource behind a static pod of a machine config, for its
	// annotation talos.dev/config-version, which `talosctl upgrade-k8s` waits for. May be nil.
	ConfigVersion func(component string, cfg config.Provider) string
}

func (o *Options) isControlPlane() bool {
	return o.Config.Machine().Type().IsControlPlane()
}

// newest is the options with the machine config as it is now.
func (o Options) newest() Options {
	if o.Current != nil {
		if cfg := o.Current(); cfg != nil {
			o.Config = cfg
		}
	}

	return o
}

func (o *Options) path(parts ...string) string {
	return filepath.Join(append([]string{o.Dir}, parts...)...)
}

func (o *Options) logf(service, format string, args ...any) {
	fmt.Fprintf(o.Log(service), format+"\n", args...) // a log that can't be written stays silent
}

// localServer is where this node's programs find the API: its own server on a control plane, the endpoint elsewhere.
func (o *Options) localServer() string {
	if o.isControlPlane() {
		return "https://" + netip.AddrPortFrom(o.Address, uint16(o.Config.Cluster().LocalAPIServerPort())).String()
	}

	return o.endpoint()
}

func (o *Options) endpoint() string {
	return strings.TrimSuffix(o.Config.Cluster().Endpoint().String(), "/")
}

// tagOf is the version of an image reference.
func tagOf(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")

	return ref[strings.LastIndex(ref, ":")+1:]
}

// machineState is what RunControlPlane and RunKubelet of one machine share, and what outlives a call.
type machineState struct {
	components *componentTable
	runtime    *podRuntime
}

var (
	machinesMu sync.Mutex
	machines   = map[string]*machineState{}
)

// state finds the machine's state by its folder; a process of a test may be several machines.
func (o *Options) state() *machineState {
	machinesMu.Lock()
	defer machinesMu.Unlock()

	if machines[o.Dir] == nil {
		machines[o.Dir] = &machineState{components: newComponentTable(), runtime: newPodRuntime(*o)}
	}

	return machines[o.Dir]
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
