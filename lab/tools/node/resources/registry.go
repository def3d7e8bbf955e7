// Package resources is the machine's COSI state: the resource types Talos registers, and who may read them.
package resources

import (
	"context"
	"fmt"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/cosi-project/runtime/pkg/state/registry"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
	"github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	"github.com/siderolabs/talos/pkg/machinery/resources/files"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/kubeaccess"
	"github.com/siderolabs/talos/pkg/machinery/resources/kubespan"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/perf"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/resources/security"
	"github.com/siderolabs/talos/pkg/machinery/resources/siderolink"
	"github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var namespaces = map[string]string{
	v1alpha1.NamespaceName:        "Runtime resources of the machine.",
	cluster.NamespaceName:         "Cluster membership and discovery.",
	cluster.RawNamespaceName:      "Cluster membership as it was discovered, unmerged.",
	config.NamespaceName:          "Machine configuration.",
	etcd.NamespaceName:            "etcd.",
	files.NamespaceName:           "Files of /etc.",
	hardware.NamespaceName:        "Hardware.",
	k8s.NamespaceName:             "Kubernetes on every machine.",
	k8s.ControlPlaneNamespaceName: "Kubernetes on control planes.",
	kubespan.NamespaceName:        "KubeSpan.",
	network.NamespaceName:         "Network.",
	network.ConfigNamespaceName:   "Network configuration.",
	cri.NamespaceName:             "Container runtime.",
	secrets.NamespaceName:         "Secret material.",
	security.NamespaceName:        "Security.",
	perf.NamespaceName:            "Statistics.",
}

// types are those that Talos registers: for a type that the lab never fills, a client gets an empty list, as for a feature not in use.
var types = []meta.ResourceWithRD{
	&block.Device{}, &block.DiscoveredVolume{}, &block.DiscoveryRefreshRequest{}, &block.DiscoveryRefreshStatus{}, &block.Disk{}, &block.MountRequest{}, &block.MountStatus{},
	&block.SwapStatus{}, &block.Symlink{}, &block.SystemDisk{}, &block.UserDiskConfigStatus{}, &block.VolumeConfig{}, &block.VolumeLifecycle{}, &block.VolumeMountRequest{},
	&block.VolumeMountStatus{}, &block.VolumeStatus{}, &block.ZswapStatus{},
	&cluster.Affiliate{}, &cluster.Config{}, &cluster.Identity{}, &cluster.Info{}, &cluster.Member{},
	&config.MachineConfig{}, &config.MachineType{},
	&cri.ImageCacheConfig{}, &cri.SeccompProfile{}, &cri.RegistriesConfig{},
	&etcd.Config{}, &etcd.PKIStatus{}, &etcd.Spec{}, &etcd.Member{},
	&files.EtcFileSpec{}, &files.EtcFileStatus{},
	&hardware.MemoryModule{}, &hardware.PCIDevice{}, &hardware.PCIDriverRebindConfig{}, &hardware.PCIDriverRebindStatus{}, &hardware.PCRStatus{}, &hardware.Processor{},
	&hardware.SystemInformation{},
	&k8s.AdmissionControlConfig{}, &k8s.AuditPolicyConfig{}, &k8s.AuthorizationConfig{}, &k8s.APIServerConfig{}, &k8s.KubePrismEndpoints{}, &k8s.ConfigStatus{},
	&k8s.ControllerManagerConfig{}, &k8s.Endpoint{}, &k8s.ExtraManifestsConfig{}, &k8s.KubeletConfig{}, &k8s.KubeletKubeconfig{}, &k8s.KubeletLifecycle{}, &k8s.KubeletSpec{},
	&k8s.KubePrismConfig{}, &k8s.KubePrismStatuses{}, &k8s.Manifest{}, &k8s.ManifestStatus{}, &k8s.BootstrapManifestsConfig{}, &k8s.NodeAnnotationSpec{},
	&k8s.NodeCordonedSpec{}, &k8s.NodeIP{}, &k8s.NodeIPConfig{}, &k8s.NodeLabelSpec{}, &k8s.Nodename{}, &k8s.NodeStatus{}, &k8s.NodeTaintSpec{}, &k8s.SchedulerConfig{},
	&k8s.StaticPod{}, &k8s.StaticPodServerStatus{}, &k8s.StaticPodStatus{}, &k8s.SecretsStatus{},
	&kubeaccess.Config{},
	&kubespan.Config{}, &kubespan.Endpoint{}, &kubespan.Identity{}, &kubespan.PeerSpec{}, &kubespan.PeerStatus{},
	&network.AddressStatus{}, &network.AddressSpec{}, &network.DeviceConfigSpec{}, &network.DNSResolveCache{}, &network.DNSUpstream{}, &network.EthernetSpec{},
	&network.EthernetStatus{}, &network.HardwareAddr{}, &network.HostDNSConfig{}, &network.HostnameStatus{}, &network.HostnameSpec{}, &network.LinkAliasSpec{},
	&network.LinkRefresh{}, &network.LinkStatus{}, &network.LinkSpec{}, &network.NfTablesChain{}, &network.NodeAddress{}, &network.NodeAddressFilter{},
	&network.NodeAddressSortAlgorithm{}, &network.OperatorSpec{}, &network.PlatformConfig{}, &network.ProbeSpec{}, &network.ProbeStatus{}, &network.ResolverStatus{},
	&network.ResolverSpec{}, &network.RouteStatus{}, &network.RouteSpec{}, &network.RoutingRuleSpec{}, &network.RoutingRuleStatus{}, &network.Status{},
	&network.TimeServerStatus{}, &network.TimeServerSpec{},
	&perf.CPU{}, &perf.Memory{},
	&runtime.APIServiceConfig{}, &runtime.BootedEntry{}, &runtime.DevicesStatus{}, &runtime.Diagnostic{}, &runtime.Environment{}, &runtime.EventSinkConfig{},
	&runtime.ExtensionServiceConfig{}, &runtime.ExtensionServiceConfigStatus{}, &runtime.ExtensionStatus{}, &runtime.KernelCmdline{}, &runtime.KernelModuleSpec{},
	&runtime.KernelParamSpec{}, &runtime.KernelParamDefaultSpec{}, &runtime.KernelParamStatus{}, &runtime.KmsgLogConfig{}, &runtime.LoadedKernelModule{},
	&runtime.MaintenanceServiceConfig{}, &runtime.MaintenanceServiceRequest{}, &runtime.MachineResetSignal{}, &runtime.MachineStatus{}, &runtime.MetaKey{},
	&runtime.MetaLoaded{}, &runtime.MountStatus{}, &runtime.OOMAction{}, &runtime.PlatformMetadata{}, &runtime.SBOMItem{}, &runtime.SecurityState{}, &runtime.ServicePID{},
	&runtime.UniqueMachineToken{}, &runtime.Version{}, &runtime.WatchdogTimerConfig{}, &runtime.WatchdogTimerStatus{},
	&secrets.API{}, &secrets.CertSAN{}, &secrets.EncryptionSalt{}, &secrets.Etcd{}, &secrets.EtcdRoot{}, &secrets.Kubelet{}, &secrets.Kubernetes{},
	&secrets.KubernetesDynamicCerts{}, &secrets.KubernetesRoot{}, &secrets.MaintenanceRoot{}, &secrets.OSRoot{}, &secrets.Trustd{},
	&security.ImageVerificationRule{}, &security.TUFTrustedRoot{},
	&siderolink.Config{}, &siderolink.Status{}, &siderolink.Tunnel{},
	&time.AdjtimeStatus{}, &time.Status{},
	&v1alpha1.AcquireConfigSpec{}, &v1alpha1.AcquireConfigStatus{}, &v1alpha1.Service{},
}

// New returns a state with everything registered and nothing in it.
func New(ctx context.Context) (state.State, error) {
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	ns, rd := registry.NewNamespaceRegistry(st), registry.NewResourceRegistry(st)

	if err := ns.RegisterDefault(ctx); err != nil {
		return nil, err
	}

	if err := rd.RegisterDefault(ctx); err != nil {
		return nil, err
	}

	for name, description := range namespaces {
		if err := ns.Register(ctx, name, description); err != nil {
			return nil, err
		}
	}

	for _, t := range types {
		if err := rd.Register(ctx, t); err != nil {
			return nil, err
		}
	}

	return st, nil
}

// Put creates or changes a resource.
func Put[T resource.Resource](st state.State, r T, set func(T)) {
	err := safe.StateModify(context.Background(), st, r, func(r T) error {
		set(r)

		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("%s: %v", r.Metadata(), err)) // the state is in memory: only a programming error gets here
	}
}

// Drop removes a resource; one that is not there is fine.
func Drop(st state.State, r resource.Resource) {
	_ = st.Destroy(context.Background(), r.Metadata()) // not there is fine
}

// Replace makes the resources of one kind exactly these.
func Replace[T resource.Resource](st state.State, all safe.List[T], keep map[resource.ID]bool) {
	for r := range all.All() {
		if !keep[r.Metadata().ID()] {
			Drop(st, r)
		}
	}
}

// ReadOnly is the state as API clients may see it; roles tells the caller's.
func ReadOnly(st state.State, roles func(context.Context) role.Set) state.CoreState {
	return state.Filter(st, func(ctx context.Context, access state.Access) error {
		if !access.Verb.Readonly() {
			return status.Error(codes.PermissionDenied, "write access is not allowed")
		}

		rd, err := safe.StateGet[*meta.ResourceDefinition](ctx, st,
			resource.NewMetadata(meta.NamespaceName, meta.ResourceDefinitionType, strings.ToLower(access.ResourceType), resource.VersionUndefined))
		if state.IsNotFoundError(err) {
			return status.Errorf(codes.PermissionDenied, "resource type %q is not supported", access.ResourceType)
		}

		if err != nil {
			return err
		}

		if rd.TypedSpec().Sensitivity == meta.Sensitive && !roles(ctx).Includes(role.Admin) {
			return status.Error(codes.PermissionDenied, "not authorized")
		}

		_, err = st.Get(ctx, resource.NewMetadata(meta.NamespaceName, meta.NamespaceType, access.ResourceNamespace, resource.VersionUndefined))
		if state.IsNotFoundError(err) {
			return status.Errorf(codes.PermissionDenied, "namespace %q is not supported", access.ResourceNamespace)
		}

		return err
	})
}
