package machine

import (
	"context"
	"net"
	"net/netip"

	"github.com/siderolabs/talos/pkg/machinery/config"
	clientv3 "go.etcd.io/etcd/client/v3"

	"talosmith.dev/lab/tools/node/network"
	"talosmith.dev/lab/tools/node/vip"
)

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
		for _, d := range cfg.Machine().Network().Devices() { // older configs
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
