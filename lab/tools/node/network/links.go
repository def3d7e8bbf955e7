// Package network puts the guest on its network by netlink: links, addresses, routes, gratuitous ARP.
package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"talosmith.dev/lab/tools/node/nocloud"
)

// Physical lists the links that have a device below them.
func Physical() ([]nocloud.Link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}

	var links []nocloud.Link

	for _, i := range all {
		if _, err := os.Stat("/sys/class/net/" + i.Name + "/device"); err == nil {
			links = append(links, nocloud.Link{Name: i.Name, MAC: i.HardwareAddr.String()})
		}
	}

	return links, nil
}

// Up brings a link up; an MTU of 0 leaves it as it is.
func Up(name string, mtu uint32) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}

	if mtu != 0 {
		if err := netlink.LinkSetMTU(link, int(mtu)); err != nil {
			return fmt.Errorf("MTU of %s: %w", name, err)
		}
	}

	return netlink.LinkSetUp(link)
}

// Apply applies the seed's network-config; it continues after an error and returns the first one.
func Apply(n nocloud.Network) error {
	var first error

	note := func(err error) {
		if first == nil && err != nil {
			first = err
		}
	}

	for _, l := range n.Links {
		note(Up(l.Name, l.MTU))
	}

	for _, a := range n.Addresses {
		note(AddAddress(a.Link, a.Prefix))
	}

	for _, r := range n.Routes {
		note(addRoute(r))
	}

	return first
}

func addr(prefix netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}, Flags: unix.IFA_F_NODAD}
}

// AddAddress adds an address to a link; an existing one stays.
func AddAddress(name string, prefix netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}

	if err := netlink.AddrReplace(link, addr(prefix)); err != nil {
		return fmt.Errorf("address %s on %s: %w", prefix, name, err)
	}

	return nil
}

// RemoveAddress removes an address from a link; an absent one is no error.
func RemoveAddress(name string, prefix netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}

	if err := netlink.AddrDel(link, addr(prefix)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("address %s off %s: %w", prefix, name, err)
	}

	return nil
}

func addRoute(r nocloud.Route) error {
	link, err := netlink.LinkByName(r.Link)
	if err != nil {
		return fmt.Errorf("link %s: %w", r.Link, err)
	}

	route := &netlink.Route{LinkIndex: link.Attrs().Index, Priority: int(r.Metric), Table: int(r.Table), Protocol: unix.RTPROT_STATIC}

	if r.Gateway.IsValid() {
		route.Gw = r.Gateway.AsSlice()
	} else {
		route.Scope = netlink.SCOPE_LINK
	}

	if r.Destination.IsValid() {
		route.Dst = &net.IPNet{IP: r.Destination.Addr().AsSlice(), Mask: net.CIDRMask(r.Destination.Bits(), r.Destination.Addr().BitLen())}
	}

	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route via %s on %s: %w", r.Gateway, r.Link, err)
	}

	return nil
}

// Prefixes lists the global addresses of the machine's links, in the order of the links, without loopback.
func Prefixes() []Prefix {
	all, _ := net.Interfaces() // none then

	var found []Prefix

	for _, i := range all {
		addrs, _ := i.Addrs() // none then
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && (p.Addr().IsGlobalUnicast() || p.Addr().IsLoopback()) {
				found = append(found, Prefix{Link: i.Name, Prefix: p})
			}
		}
	}

	return found
}

// Prefix is an address with its network, on a link.
type Prefix struct {
	Link   string
	Prefix netip.Prefix
}

// LinkOf returns the link whose network holds the address, "" when none does.
func LinkOf(a netip.Addr) string {
	for _, p := range Prefixes() {
		if p.Prefix.Contains(a) && !strings.HasPrefix(p.Link, "lo") {
			return p.Link
		}
	}

	return ""
}

// AnnounceARP tells the neighbours that this link now holds the address (gratuitous ARP), three times.
func AnnounceARP(name string, ip netip.Addr) error {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}

	if !ip.Is4() || len(link.HardwareAddr) != 6 {
		return nil
	}

	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(htons(unix.ETH_P_ARP)))
	if err != nil {
		return err
	}

	defer unix.Close(fd) // raw socket

	to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: link.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}

	for i := range 3 {
		if i > 0 {
			time.Sleep(100 * time.Millisecond)
		}

		for _, operation := range []byte{1, 2} { // some stacks listen to requests only, some to replies only
			if err := unix.Sendto(fd, arpFrame(link.HardwareAddr, ip, operation), 0, to); err != nil {
				return err
			}
		}
	}

	return nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func arpFrame(mac net.HardwareAddr, ip netip.Addr, operation byte) []byte {
	four := ip.As4()
	broadcast := []byte{255, 255, 255, 255, 255, 255}
	frame := append([]byte{}, broadcast...)
	frame = append(frame, mac...)
	frame = append(frame, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation)
	frame = append(append(frame, mac...), four[:]...)

	return append(append(frame, broadcast...), four[:]...)
}
