package machine

import (
	"crypto/sha256"
	"fmt"
	"log"
	"math/big"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/config"
	machinetype "github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	timeres "github.com/siderolabs/talos/pkg/machinery/resources/time"

	"talosmith.dev/lab/tools/node/discovery"
	"talosmith.dev/lab/tools/node/resources"
)

// publishFacts publishes what does not change while the machine runs.
func (m *Machine) publishFacts() {
	resources.Put(m.State, runtime.NewVersion(), func(r *runtime.Version) {
		*r.TypedSpec() = runtime.VersionSpec{Name: "Talos", Version: m.o.Image.Version}
	})

	for i, e := range m.o.Image.Extensions {
		m.publishExtension(fmt.Sprint(i), e.Name[strings.LastIndex(e.Name, "/")+1:], e.Version, "")
	}

	m.publishExtension(fmt.Sprint(len(m.o.Image.Extensions)), "schematic", m.o.Image.Schematic, "")

	resources.Put(m.State, runtime.NewKernelCmdline(), func(r *runtime.KernelCmdline) { r.TypedSpec().Cmdline = strings.Join(m.o.Args, " ") })
	resources.Put(m.State, runtime.NewSecurityStateSpec(runtime.NamespaceName), func(r *runtime.SecurityState) { r.TypedSpec().BootedWithUKI = true })

	// There is no time server: the clock follows the machine's own, which is the host's.
	resources.Put(m.State, timeres.NewStatus(), func(r *timeres.Status) { r.TypedSpec().Synced = true })
	m.o.Host.Disks(m.State)
}

func (m *Machine) publishExtension(id, name, version, extra string) {
	resources.Put(m.State, runtime.NewExtensionStatus(runtime.NamespaceName, id), func(r *runtime.ExtensionStatus) {
		*r.TypedSpec() = extensions.Layer{Image: id + "." + name + ".sqsh", Metadata: extensions.Metadata{Name: name, Version: version, Author: "Talosmith lab", ExtraInfo: extra}}
	})
}

func (m *Machine) publishConfig(id string, cfg config.Provider) {
	resource := configres.NewMachineConfigWithID(cfg, id)

	if cfg == nil {
		resources.Drop(m.State, resource)

		return
	}

	resources.Drop(m.State, resource)

	if err := m.State.Create(stateContext, resource); err != nil {
		log.Printf("config resource: %v", err)
	}
}

// publishPlatform publishes the seed's metadata of the machine.
func (m *Machine) publishPlatform() {
	m.mu.Lock()
	meta := m.metadata
	m.mu.Unlock()

	resources.Put(m.State, runtime.NewPlatformMetadataSpec(runtime.NamespaceName, ""), func(r *runtime.PlatformMetadata) {
		*r.TypedSpec() = runtime.PlatformMetadataSpec{
			Platform: "nocloud", Hostname: meta.Name(), Region: meta.Region, Zone: meta.Zone, InstanceType: meta.InstanceType, InstanceID: meta.InstanceID,
			ProviderID: meta.ProviderID, InternalDNS: meta.LocalHostname, ExternalDNS: meta.PublicHostname,
		}
	})
}

// publishConfigured publishes what only a complete config defines.
func (m *Machine) publishConfigured() {
	cfg := m.Config()

	resources.Put(m.State, configres.NewMachineType(), func(r *configres.MachineType) { r.SetMachineType(cfg.Machine().Type()) })

	addresses, names := m.names(cfg)
	resources.Put(m.State, secrets.NewOSRoot(secrets.OSRootID), func(r *secrets.OSRoot) {
		security := cfg.Machine().Security()
		*r.TypedSpec() = secrets.OSRootSpec{IssuingCA: security.IssuingCA(), AcceptedCAs: security.AcceptedCAs(), CertSANDNSNames: names, Token: security.Token()}

		for _, ip := range addresses {
			if a, ok := netip.AddrFromSlice(ip); ok {
				r.TypedSpec().CertSANIPs = append(r.TypedSpec().CertSANIPs, a.Unmap())
			}
		}
	})

	resources.Put(m.State, cluster.NewIdentity(cluster.NamespaceName, cluster.LocalIdentity), func(r *cluster.Identity) { r.TypedSpec().NodeID = m.nodeID() })
	resources.Put(m.State, k8s.NewNodename(k8s.NamespaceName, k8s.NodenameID), func(r *k8s.Nodename) {
		*r.TypedSpec() = k8s.NodenameSpec{Nodename: m.Hostname(), HostnameVersion: "1"}
	})

	m.publishKubeConfigs(cfg)

	if cfg.Machine().Type().IsControlPlane() {
		resources.Put(m.State, k8s.NewBootstrapManifestsConfig(), func(r *k8s.BootstrapManifestsConfig) {
			c := cfg.Cluster()
			*r.TypedSpec() = k8s.BootstrapManifestsConfigSpec{
				Server: c.Endpoint().String(), ClusterDomain: c.Network().DNSDomain(), PodCIDRs: c.Network().PodCIDRs(), ProxyEnabled: c.Proxy().Enabled(),
				ProxyImage: c.Proxy().Image(), CoreDNSEnabled: c.CoreDNS().Enabled(), CoreDNSImage: c.CoreDNS().Image(), CNIName: c.Network().CNI().Name(),
			}
		})
	}
}

// updateHostname chooses the machine's name: the config's, else the seed's, else a generated one.
func (m *Machine) updateHostname() {
	m.mu.Lock()
	cfg, meta, nameservers := m.cfg, m.metadata, m.nameservers
	m.mu.Unlock()

	name := meta.Name()
	stable := false

	if cfg != nil && cfg.NetworkHostnameConfig() != nil {
		if given := cfg.NetworkHostnameConfig().Hostname(); given != "" {
			name = given
		}

		stable = cfg.NetworkHostnameConfig().AutoHostname() == nethelpers.AutoHostnameKindStable
	}

	addresses := m.o.Host.Addresses()

	if name == "" && stable {
		name = stableName(m.nodeID())
	}

	if name == "" && len(addresses) > 0 {
		name = "talos-" + strings.NewReplacer(":", "", ".", "-").Replace(addresses[0].String())
	}

	host, domain, _ := strings.Cut(name, ".")

	m.mu.Lock()
	m.hostname = host
	m.mu.Unlock()

	if host != "" {
		resources.Put(m.State, network.NewHostnameStatus(network.NamespaceName, network.HostnameID), func(r *network.HostnameStatus) {
			*r.TypedSpec() = network.HostnameStatusSpec{Hostname: host, Domainname: domain}
		})
	}

	if err := m.o.Host.SetHostname(host, addresses, m.resolvers(nameservers)); err != nil {
		log.Printf("hostname: %v", err)
	}
}

// stableName is a name that lasts as long as the node's identity: talos-abc-def.
func stableName(nodeID string) string {
	sum := sha256.Sum256([]byte(nodeID))
	text := new(big.Int).SetBytes(sum[:8]).Text(36)

	return "talos-" + text[1:4] + "-" + text[4:7]
}

// resolvers are the config's, else the seed's, else Talos' defaults.
func (m *Machine) resolvers(seed []netip.Addr) []netip.Addr {
	if cfg := m.Config(); cfg != nil && cfg.NetworkResolverConfig() != nil {
		if given := cfg.NetworkResolverConfig().Resolvers(); len(given) > 0 {
			return given
		}
	}

	if len(seed) > 0 {
		return seed
	}

	return []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("8.8.8.8")}
}

// publishNetwork publishes the current links, addresses, routes and resolvers.
func (m *Machine) publishNetwork() {
	m.publishLinks()

	m.mu.Lock()
	nameservers := m.nameservers
	m.mu.Unlock()

	resources.Put(m.State, network.NewResolverStatus(network.NamespaceName, network.ResolverID), func(r *network.ResolverStatus) {
		r.TypedSpec().DNSServers = m.resolvers(nameservers)
	})

	addresses := m.o.Host.Addresses()
	resources.Put(m.State, network.NewStatus(network.NamespaceName, network.StatusID), func(r *network.Status) {
		*r.TypedSpec() = network.StatusSpec{AddressReady: len(addresses) > 0, ConnectivityReady: len(addresses) > 0, HostnameReady: m.Hostname() != "", EtcFilesReady: true}
	})
	m.kick()
}

// setMembers makes the members of the cluster those that were discovered.
func (m *Machine) setMembers(all []discovery.Affiliate) {
	m.mu.Lock()
	m.members = all
	m.mu.Unlock()

	keep := map[string]bool{}

	for _, a := range all {
		kind, err := machinetype.ParseType(a.MachineType)
		if err != nil {
			continue
		}

		keep[a.Hostname] = true

		resources.Put(m.State, cluster.NewMember(cluster.NamespaceName, a.Hostname), func(r *cluster.Member) {
			*r.TypedSpec() = cluster.MemberSpec{NodeID: a.NodeID, Addresses: slices.Clone(a.Addresses), Hostname: a.Hostname, MachineType: kind, OperatingSystem: a.OS}

			if a.ControlPlane {
				r.TypedSpec().ControlPlane = &cluster.ControlPlane{APIServerPort: 6443}
			}
		})
	}

	if list, err := safe.StateListAll[*cluster.Member](stateContext, m.State); err == nil {
		resources.Replace(m.State, list, keep)
	}
}

func readTrimmed(path string) string {
	data, _ := os.ReadFile(path) // empty then

	return strings.TrimSpace(string(data))
}
