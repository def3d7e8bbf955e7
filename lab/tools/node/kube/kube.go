// Package kube runs Kubernetes on a lab node: the real control plane as processes, and a small kubelet.
package kube

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
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
	// Dir is a folder that survives reboots.
	Dir string
	// EtcdEndpoint is the node's own etcd: https://<address>:2379.
	EtcdEndpoint string
	// Pull fetches the program of a container image.
	Pull func(ctx context.Context, imageRef string) (string, error)
	// Log gives a service's log.
	Log func(service string) io.Writer
	// Service reports a service's state.
	Service func(id string, running, healthy bool, message string)
	// StaticPod reports a static pod's readiness, by its full name (kube-system/kube-apiserver-<node>).
	StaticPod func(name string, ready bool)
	// NodeReady reports what Kubernetes says of this node.
	NodeReady func(ready bool, unschedulable bool)
}

func (o *Options) isControlPlane() bool {
	return o.Config.Machine().Type().IsControlPlane()
}

func (o *Options) path(parts ...string) string {
	return filepath.Join(append([]string{o.Dir}, parts...)...)
}

func (o *Options) logf(service, format string, args ...any) {
	fmt.Fprintf(o.Log(service), format+"\n", args...) //nolint:errcheck // a log that can't be written stays silent
}

// localServer is where this node's kubelet finds the API: its own server on a control plane, the endpoint elsewhere.
func (o *Options) localServer() string {
	if o.isControlPlane() {
		return "https://" + netip.AddrPortFrom(o.Address, uint16(o.Config.Cluster().LocalAPIServerPort())).String()
	}

	return strings.TrimSuffix(o.Config.Cluster().Endpoint().String(), "/")
}

// tagOf is the version of an image reference.
func tagOf(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")

	return ref[strings.LastIndex(ref, ":")+1:]
}
