package nocloud

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// DefaultMetric is the priority of an IPv4 route that gives none; IPv6 takes twice as much.
const DefaultMetric = 1024

// Link is a physical network link of the machine.
type Link struct {
	Name string
	MAC  string
}

// Address is an address to put on a link.
type Address struct {
	Link   string
	Prefix netip.Prefix
}

// Route is a route to set; an invalid Destination means the default route, an invalid Gateway a route on the link.
type Route struct {
	Link        string
	Destination netip.Prefix
	Gateway     netip.Addr
	Metric      uint32
	Table       uint32
}

// LinkSettings is a link to bring up.
type LinkSettings struct {
	Name string
	MTU  uint32
}

// Network is the content of a network-config.
type Network struct {
	Links       []LinkSettings
	Addresses   []Address
	Routes      []Route
	Nameservers []netip.Addr
	// DHCP4 and DHCP6 name the links that are to be configured by DHCP.
	DHCP4, DHCP6 []string
	// Unmatched means that a MAC address matches no link: the entry's name was used, and the links should be checked again later.
	Unmatched []string
	// Logical names bonds and VLANs, which the lab node parses, but does not create.
	Logical []string
}

type document struct {
	Version   int                 `yaml:"version"`
	Config    []entryV1           `yaml:"config"`
	Ethernets map[string]ethernet `yaml:"ethernets"`
	Bonds     map[string]bond     `yaml:"bonds"`
	VLANs     map[string]vlan     `yaml:"vlans"`
}

type subnetV1 struct {
	Address string `yaml:"address"`
	Netmask string `yaml:"netmask"`
	Gateway string `yaml:"gateway"`
	Type    string `yaml:"type"`
}

type entryV1 struct {
	MAC            string     `yaml:"mac_address"`
	Name           string     `yaml:"name"`
	MTU            uint32     `yaml:"mtu"`
	Subnets        []subnetV1 `yaml:"subnets"`
	Address        []string   `yaml:"address"`
	Type           string     `yaml:"type"`
	BondInterfaces []string   `yaml:"bond_interfaces"`
	VLANID         uint16     `yaml:"vlan_id"`
	VLANLink       string     `yaml:"vlan_link"`
}

type ethernet struct {
	Match struct {
		Name string `yaml:"name"`
		MAC  string `yaml:"macaddress"`
	} `yaml:"match"`
	DHCP4       bool     `yaml:"dhcp4"`
	DHCP6       bool     `yaml:"dhcp6"`
	Addresses   []string `yaml:"addresses"`
	Gateway4    string   `yaml:"gateway4"`
	Gateway6    string   `yaml:"gateway6"`
	MTU         uint32   `yaml:"mtu"`
	Nameservers struct {
		Search    []string `yaml:"search"`
		Addresses []string `yaml:"addresses"`
	} `yaml:"nameservers"`
	Routes []struct {
		To     string `yaml:"to"`
		Via    string `yaml:"via"`
		Metric uint32 `yaml:"metric"`
		Table  uint32 `yaml:"table"`
		OnLink bool   `yaml:"on-link"`
	} `yaml:"routes"`
}

type bond struct {
	ethernet   `yaml:",inline"`
	Interfaces []string `yaml:"interfaces"`
}

type vlan struct {
	ethernet `yaml:",inline"`
	ID       uint16 `yaml:"id"`
	Link     string `yaml:"link"`
}

func decode(content []byte) (document, error) {
	var keys map[string]any

	if err := yaml.Unmarshal(content, &keys); err != nil {
		return document{}, err
	}

	if _, ok := keys["network"]; ok {
		var wrapped struct {
			Network document `yaml:"network"`
		}

		err := yaml.Unmarshal(content, &wrapped)

		return wrapped.Network, err
	}

	if _, ok := keys["version"]; ok {
		var plain document

		err := yaml.Unmarshal(content, &plain)

		return plain, err
	}

	return document{}, fmt.Errorf("failed to decode network configuration, keys: %v", slices.Sorted(maps.Keys(keys)))
}

// ParseNetwork reads network-config (version 1 or 2, bare or under `network`) for a machine with these links.
// An error means that nothing of the document applies, and that the hostname of meta-data is lost with it.
func ParseNetwork(content []byte, links []Link) (Network, error) {
	doc, err := decode(content)
	if err != nil {
		return Network{}, err
	}

	n := &Network{}

	switch doc.Version {
	case 1:
		err = n.version1(doc, links)
	case 2:
		err = n.version2(doc, links)
	default:
		err = fmt.Errorf("network-config metadata version=%d is not supported", doc.Version)
	}

	if err != nil {
		return Network{}, err
	}

	return *n, nil
}

func (n *Network) match(mac, name string, links []Link) string {
	if mac == "" {
		return name
	}

	for _, l := range links {
		if strings.EqualFold(l.MAC, mac) {
			return l.Name
		}
	}

	n.Unmatched = append(n.Unmatched, mac)

	return name
}

func (n *Network) version1(doc document, links []Link) error {
	for _, e := range doc.Config {
		switch e.Type {
		case "nameserver":
			for _, a := range e.Address {
				ip, err := netip.ParseAddr(a)
				if err != nil {
					return err
				}

				n.Nameservers = append(n.Nameservers, ip)
			}
		case "physical":
			name := n.match(e.MAC, e.Name, links)
			n.Links = append(n.Links, LinkSettings{Name: name, MTU: e.MTU})

			if err := n.subnets(e.Subnets, name); err != nil {
				return err
			}
		case "bond", "vlan":
			n.Logical = append(n.Logical, e.Name)

			var ignored Network
			if err := ignored.subnets(e.Subnets, e.Name); err != nil {
				return err
			}
		}
	}

	return nil
}

func (n *Network) subnets(subnets []subnetV1, link string) error {
	for _, s := range subnets {
		switch s.Type {
		case "dhcp", "dhcp4":
			n.DHCP4 = append(n.DHCP4, link)
		case "ipv6_dhcpv6-stateful":
			n.DHCP6 = append(n.DHCP6, link)
		case "static", "static6":
			prefix, err := subnetPrefix(s)
			if err != nil {
				return err
			}

			n.Addresses = append(n.Addresses, Address{Link: link, Prefix: prefix})

			if s.Gateway == "" {
				continue
			}

			if err := n.gateway(s.Gateway, link, s.Type == "static6"); err != nil {
				return err
			}
		}
	}

	return nil
}

func subnetPrefix(s subnetV1) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(s.Address); err == nil {
		return prefix, nil
	}

	ip, err := netip.ParseAddr(s.Address)
	if err != nil {
		return netip.Prefix{}, err
	}

	mask, err := netip.ParseAddr(s.Netmask)
	if err != nil {
		return netip.Prefix{}, err
	}

	ones, _ := net.IPMask(mask.AsSlice()).Size()

	return netip.PrefixFrom(ip, ones), nil
}

func (n *Network) gateway(text, link string, v6 bool) error {
	gw, err := netip.ParseAddr(text)
	if err != nil {
		return err
	}

	metric := uint32(DefaultMetric)
	if v6 {
		metric *= 2
	}

	n.Routes = append(n.Routes, Route{Link: link, Gateway: gw, Metric: metric})

	return nil
}

func (n *Network) version2(doc document, links []Link) error {
	for _, key := range slices.Sorted(maps.Keys(doc.Ethernets)) {
		e := doc.Ethernets[key]
		name := n.match(e.Match.MAC, key, links)
		n.Links = append(n.Links, LinkSettings{Name: name, MTU: e.MTU})

		if err := n.ethernet(e, name); err != nil {
			return err
		}
	}

	for _, key := range slices.Sorted(maps.Keys(doc.Bonds)) {
		if err := n.logical(key, doc.Bonds[key].ethernet); err != nil {
			return err
		}
	}

	for _, key := range slices.Sorted(maps.Keys(doc.VLANs)) {
		if err := n.logical(key, doc.VLANs[key].ethernet); err != nil {
			return err
		}
	}

	return nil
}

func (n *Network) logical(name string, e ethernet) error {
	n.Logical = append(n.Logical, name)

	var ignored Network

	err := ignored.ethernet(e, name)
	n.Nameservers = append(n.Nameservers, ignored.Nameservers...)

	return err
}

func (n *Network) ethernet(e ethernet, link string) error {
	if e.DHCP4 {
		n.DHCP4 = append(n.DHCP4, link)
	}

	if e.DHCP6 {
		n.DHCP6 = append(n.DHCP6, link)
	}

	for _, a := range e.Addresses {
		prefix, err := netip.ParsePrefix(a)
		if err != nil {
			return err
		}

		n.Addresses = append(n.Addresses, Address{Link: link, Prefix: prefix})
	}

	for i, gw := range []string{e.Gateway4, e.Gateway6} {
		if gw == "" {
			continue
		}

		if err := n.gateway(gw, link, i == 1); err != nil {
			return err
		}
	}

	for _, a := range e.Nameservers.Addresses {
		ip, err := netip.ParseAddr(a)
		if err != nil {
			return err
		}

		n.Nameservers = append(n.Nameservers, ip)
	}

	for _, r := range e.Routes {
		gw, err := netip.ParseAddr(r.Via)
		if err != nil {
			return fmt.Errorf("failed to parse route gateway: %w", err)
		}

		metric := r.Metric
		if metric == 0 || metric == DefaultMetric {
			metric = DefaultMetric
			if gw.Is6() {
				metric *= 2
			}
		}

		route := Route{Link: link, Gateway: gw, Metric: metric, Table: r.Table}

		if r.To != "default" {
			dest, err := netip.ParsePrefix(r.To)
			if err != nil {
				return fmt.Errorf("failed to parse route destination: %w", err)
			}

			if dest.Bits() > 0 {
				route.Destination = dest.Masked()
			}
		}

		if r.OnLink { // the route to the gateway first, or the kernel rejects this one
			n.Routes = append(n.Routes, Route{Link: link, Destination: netip.PrefixFrom(gw, gw.BitLen()), Metric: metric, Table: r.Table})
		}

		n.Routes = append(n.Routes, route)
	}

	return nil
}
