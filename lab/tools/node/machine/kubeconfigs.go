package machine

import (
	"log"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"

	"talosmith.dev/lab/tools/node/kube"
	"talosmith.dev/lab/tools/node/resources"
)

// publishKubeConfigs publishes what Kubernetes runs here, as `talosctl upgrade-k8s` reads it: images and bootstrap manifests.
func (m *Machine) publishKubeConfigs(cfg config.Provider) {
	resources.Put(m.State, k8s.NewKubeletSpec(k8s.NamespaceName, k8s.KubeletID), func(r *k8s.KubeletSpec) {
		r.TypedSpec().Image = cfg.Machine().Kubelet().Image()
		r.TypedSpec().ExpectedNodename = m.Hostname()
	})

	if !cfg.Machine().Type().IsControlPlane() {
		return
	}

	cluster := cfg.Cluster()
	resources.Put(m.State, k8s.NewAPIServerConfig(), func(r *k8s.APIServerConfig) { r.TypedSpec().Image = cluster.APIServer().Image() })
	resources.Put(m.State, k8s.NewControllerManagerConfig(), func(r *k8s.ControllerManagerConfig) {
		r.TypedSpec().Enabled, r.TypedSpec().Image = true, cluster.ControllerManager().Image()
	})
	resources.Put(m.State, k8s.NewSchedulerConfig(), func(r *k8s.SchedulerConfig) {
		r.TypedSpec().Enabled, r.TypedSpec().Image = true, cluster.Scheduler().Image()
	})

	manifests, err := kube.Manifests(cfg)
	if err != nil {
		log.Printf("bootstrap manifests: %v", err)

		return
	}

	for _, manifest := range manifests {
		resources.Put(m.State, k8s.NewManifest(k8s.ControlPlaneNamespaceName, manifest.ID), func(r *k8s.Manifest) {
			r.TypedSpec().Items = nil

			for _, object := range manifest.Objects {
				r.TypedSpec().Items = append(r.TypedSpec().Items, k8s.SingleManifest{Object: object})
			}
		})
	}
}

// kubeConfigVersion is the version of the resource behind a program of the control plane, whose ID is the program's name.
func (m *Machine) kubeConfigVersion(component string, cfg config.Provider) string {
	m.publishKubeConfigs(cfg)

	kind, known := map[string]resource.Type{
		k8s.APIServerID: k8s.APIServerConfigType, k8s.ControllerManagerID: k8s.ControllerManagerConfigType, k8s.SchedulerID: k8s.SchedulerConfigType,
	}[component]
	if !known {
		return ""
	}

	r, err := m.State.Get(stateContext, resource.NewMetadata(k8s.ControlPlaneNamespaceName, kind, component, resource.VersionUndefined))
	if err != nil {
		log.Printf("version of %s: %v", component, err)

		return ""
	}

	return r.Metadata().Version().String()
}
