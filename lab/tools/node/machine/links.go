package machine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/vishvananda/netlink"

	labnet "talosmith.dev/lab/tools/node/network"
	"talosmith.dev/lab/tools/node/resources"
)

var stateContext = context.Background()

func (m *Machine) publishLinks() {
	interfaces, err := net.Interfaces()
	if err != nil {
		return
	}

	for _, i := range interfaces {
		resources.Put(m.State, network.NewLinkStatus(network.NamespaceName, i.Name), func(r *network.LinkStatus) {
			spec := r.TypedSpec()
			spec.Index, spec.MTU, spec.HardwareAddr, spec.PermanentAddr = uint32(i.Index), uint32(i.MTU), nethelpers.HardwareAddr(i.HardwareAddr), nethelpers.HardwareAddr(i.HardwareAddr)
			spec.Type, spec.LinkState, spec.OperationalState = nethelpers.LinkEther, i.Flags&net.FlagUp != 0, nethelpers.OperStateDown

			if i.Flags&net.FlagUp != 0 {
				spec.OperationalState = nethelpers.OperStateUp
			}

			if i.Flags&net.FlagLoopback != 0 {
				spec.Type = nethelpers.LinkLoopbck
			}

			spec.Driver = driver(i.Name)
		})
	}

	m.publishAddresses()
	m.publishRoutes()
}

func driver(link string) string {
	for line := range strings.Lines(readTrimmed("/sys/class/net/" + link + "/device/uevent")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DRIVER="); ok {
			return name
		}
	}

	return ""
}

func family(a netip.Addr) nethelpers.Family {
	if a.Is4() {
		return nethelpers.FamilyInet4
	}

	return nethelpers.FamilyInet6
}

func (m *Machine) publishAddresses() {
	keep := map[string]bool{}

	var current, global []netip.Prefix

	for _, p := range labnet.Prefixes() {
		id := p.Link + "/" + p.Prefix.String()
		keep[id] = true

		resources.Put(m.State, network.NewAddressStatus(network.NamespaceName, id), func(r *network.AddressStatus) {
			spec := r.TypedSpec()
			spec.Address, spec.LinkName, spec.Family, spec.Scope = p.Prefix, p.Link, family(p.Prefix.Addr()), nethelpers.ScopeGlobal

			if p.Prefix.Addr().IsLoopback() {
				spec.Scope = nethelpers.ScopeHost
			}
		})

		if !p.Prefix.Addr().IsLoopback() {
			current = append(current, p.Prefix)
			global = append(global, netip.PrefixFrom(p.Prefix.Addr(), p.Prefix.Bits()))
		}
	}

	if list, err := safe.StateListAll[*network.AddressStatus](stateContext, m.State); err == nil {
		resources.Replace(m.State, list, keep)
	}

	for id, prefixes := range map[string][]netip.Prefix{network.NodeAddressCurrentID: current, network.NodeAddressRoutedID: global} {
		resources.Put(m.State, network.NewNodeAddress(network.NamespaceName, id), func(r *network.NodeAddress) { r.TypedSpec().Addresses = prefixes })
	}

	if len(current) > 0 {
		resources.Put(m.State, network.NewNodeAddress(network.NamespaceName, network.NodeAddressDefaultID), func(r *network.NodeAddress) {
			r.TypedSpec().Addresses = current[:1]
		})
	}
}

func (m *Machine) publishRoutes() {
	keep := map[string]bool{}

	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return
	}

	for _, route := range routes {
		link, err := net.InterfaceByIndex(route.LinkIndex)
		if err != nil {
			continue
		}

		gateway, _ := netip.AddrFromSlice(route.Gw)
		gateway = gateway.Unmap()

		var destination netip.Prefix
		if route.Dst != nil {
			destination, _ = netip.ParsePrefix(route.Dst.String()) // the kernel's own
		}

		if destination.Bits() == 0 {
			destination = netip.Prefix{}
		}

		id := fmt.Sprintf("%s/%s/%s/%d", link.Name, destinationText(destination, nethelpers.FamilyInet4), destinationText(netip.Prefix{}, nethelpers.FamilyInet4), route.Priority)
		if gateway.IsValid() {
			id = fmt.Sprintf("%s/%s/%s/%d", link.Name, "inet4", gateway, route.Priority)
		}

		keep[id] = true

		resources.Put(m.State, network.NewRouteStatus(network.NamespaceName, id), func(r *network.RouteStatus) {
			source, _ := netip.AddrFromSlice(route.Src)
			*r.TypedSpec() = network.RouteStatusSpec{
				Family: nethelpers.FamilyInet4, Destination: destination, Gateway: gateway, Source: source.Unmap(), OutLinkIndex: uint32(route.LinkIndex), OutLinkName: link.Name,
				Table: nethelpers.RoutingTable(route.Table), Priority: uint32(route.Priority), Scope: nethelpers.Scope(route.Scope), Type: nethelpers.RouteType(route.Type),
				Protocol: nethelpers.RouteProtocol(route.Protocol),
			}
		})
	}

	if list, err := safe.StateListAll[*network.RouteStatus](stateContext, m.State); err == nil {
		resources.Replace(m.State, list, keep)
	}
}

func destinationText(p netip.Prefix, f nethelpers.Family) string {
	if !p.IsValid() {
		return f.String()
	}

	return f.String() + "/" + p.String()
}
