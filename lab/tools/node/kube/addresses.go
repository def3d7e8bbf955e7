package kube

import (
	"fmt"
	"net/netip"
	"sync"
)

// addressTable knows which pod has which address.
type addressTable struct {
	mu  sync.Mutex
	all map[string]netip.Addr
}

func newAddressTable() *addressTable { return &addressTable{all: map[string]netip.Addr{}} }

// take gives a pod an address of the node's range; the one it had before, if no other pod has it.
func (t *addressTable) take(uid, before, cidr string) (netip.Addr, error) {
	t.mu.Lock()
	defer t.mu.Unlock()

	if address, ok := t.all[uid]; ok {
		return address, nil
	}

	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("the node has no pod network yet: %w", err)
	}

	taken := map[netip.Addr]bool{}
	for _, address := range t.all {
		taken[address] = true
	}

	if address, err := netip.ParseAddr(before); err == nil && prefix.Contains(address) && !taken[address] {
		t.all[uid] = address

		return address, nil
	}

	// The first two addresses are the network and its bridge, the last is for broadcasts.
	for address := prefix.Masked().Addr().Next().Next(); prefix.Contains(address.Next()); address = address.Next() {
		if !taken[address] {
			t.all[uid] = address

			return address, nil
		}
	}

	return netip.Addr{}, fmt.Errorf("no address is left in %s", cidr)
}

func (t *addressTable) release(uid string) {
	t.mu.Lock()
	defer t.mu.Unlock()

	delete(t.all, uid)
}
