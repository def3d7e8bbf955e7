// Package discovery replaces Talos' discovery service: the machines of a cluster announce themselves by encrypted broadcasts.
package discovery

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	port     = 50005
	interval = 30 * time.Second
	// life is how long a silent machine is remembered, as in Talos' service.
	life = 30 * time.Minute
)

// Affiliate is what a machine announces about itself.
type Affiliate struct {
	NodeID       string       `json:"nodeId"`
	Hostname     string       `json:"hostname"`
	Nodename     string       `json:"nodename"`
	Addresses    []netip.Addr `json:"addresses"`
	MachineType  string       `json:"machineType"`
	OS           string       `json:"os"`
	ControlPlane bool         `json:"controlPlane"`
	// Gone announces that this machine leaves the cluster.
	Gone bool `json:"gone,omitempty"`
}

// Service exchanges affiliates with the other machines of the cluster.
type Service struct {
	cluster string
	aead    cipher.AEAD
	self    Affiliate
	changed func([]Affiliate)

	mu     sync.Mutex
	others map[string]Affiliate
	heard  map[string]time.Time
	poke   chan struct{}
}

// New returns a service for a cluster; changed gets all affiliates, this machine included, whenever they change.
func New(cluster, secret string, self Affiliate, changed func([]Affiliate)) (*Service, error) {
	key := sha256.Sum256([]byte(secret))

	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}

	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}

	return &Service{
		cluster: cluster, aead: aead, self: self, changed: changed, others: map[string]Affiliate{}, heard: map[string]time.Time{}, poke: make(chan struct{}, 1),
	}, nil
}

func (s *Service) seal(a Affiliate) []byte {
	plain, err := json.Marshal(a)
	if err != nil {
		panic(err) // plain data
	}

	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails

	return s.aead.Seal(nonce, nonce, plain, []byte(s.cluster))
}

func (s *Service) unseal(packet []byte) (Affiliate, bool) {
	var a Affiliate

	n := s.aead.NonceSize()
	if len(packet) < n {
		return a, false
	}

	plain, err := s.aead.Open(nil, packet[:n], packet[n:], []byte(s.cluster))

	return a, err == nil && json.Unmarshal(plain, &a) == nil
}

// All lists every machine that is known, this one first.
func (s *Service) All() []Affiliate {
	s.mu.Lock()
	defer s.mu.Unlock()

	all := []Affiliate{s.self}
	for _, id := range slices.Sorted(maps.Keys(s.others)) {
		all = append(all, s.others[id])
	}

	return all
}

// Run exchanges broadcasts until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error

		controlErr := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			}
		})
		if controlErr != nil {
			return controlErr
		}

		return err
	}}

	conn, err := config.ListenPacket(ctx, "udp4", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}

	go func() {
		<-ctx.Done()
		conn.Close() // ends the reader
	}()

	go s.speak(ctx, conn)
	s.changed(s.All())

	packet := make([]byte, 4096)

	for {
		n, _, err := conn.ReadFrom(packet)
		if err != nil {
			return ctx.Err()
		}

		if a, ok := s.unseal(packet[:n]); ok && a.NodeID != s.self.NodeID {
			s.hear(a)
		}
	}
}

func (s *Service) hear(a Affiliate) {
	s.mu.Lock()
	before, known := s.others[a.NodeID]
	text := func(a Affiliate) string { data, _ := json.Marshal(a); return string(data) } // plain data
	same := known && text(before) == text(a)

	if a.Gone {
		delete(s.others, a.NodeID)

		same = !known
	} else {
		s.others[a.NodeID], s.heard[a.NodeID] = a, time.Now()
	}
	s.mu.Unlock()

	if !known && !a.Gone { // a newcomer need not wait to hear of us
		select {
		case s.poke <- struct{}{}:
		default:
		}
	}

	if !same {
		s.changed(s.All())
	}
}

func (s *Service) speak(ctx context.Context, conn net.PacketConn) {
	for {
		s.announce(conn, s.self)

		select {
		case <-ctx.Done():
			return
		case <-s.poke:
			time.Sleep(200 * time.Millisecond)
		case <-time.After(interval):
			s.forget()
		}
	}
}

func (s *Service) forget() {
	s.mu.Lock()
	lost := false

	for id, at := range s.heard {
		if time.Since(at) > life {
			delete(s.heard, id)

			if _, ok := s.others[id]; ok {
				delete(s.others, id)

				lost = true
			}
		}
	}
	s.mu.Unlock()

	if lost {
		s.changed(s.All())
	}
}

// Goodbye announces that this machine leaves the cluster permanently.
func (s *Service) Goodbye() {
	conn, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		return
	}

	defer conn.Close() // done with it

	if raw, err := conn.(*net.UDPConn).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // a lost goodbye times out
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) // as above
		})
	}

	gone := s.self
	gone.Gone = true
	s.announce(conn, gone)
}

// announce broadcasts on every network that this machine's own addresses are in.
func (s *Service) announce(conn net.PacketConn, a Affiliate) {
	packet := s.seal(a)

	interfaces, _ := net.InterfaceAddrs() // none then
	for _, i := range interfaces {
		prefix, err := netip.ParsePrefix(i.String())
		if err != nil || !prefix.Addr().Is4() || prefix.Addr().IsLoopback() || prefix.Bits() > 30 {
			continue
		}

		_, _ = conn.WriteTo(packet, net.UDPAddrFromAddrPort(netip.AddrPortFrom(lastAddress(prefix), port))) // repeated soon
	}
}

func lastAddress(p netip.Prefix) netip.Addr {
	four := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		four[bit/8] |= 1 << (7 - bit%8)
	}

	return netip.AddrFrom4(four)
}
