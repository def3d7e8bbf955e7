package machine

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	stdx509 "crypto/x509"
	"encoding/base64"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/role"

	"talosmith.dev/lab/tools/node/apid"
	"talosmith.dev/lab/tools/node/trustd"
)

const certificateLife = 365 * 24 * time.Hour

// names are the names in the machine's certificate.
func (m *Machine) names(cfg config.Provider) (addresses []net.IP, names []string) {
	all := append(m.o.Host.Addresses(), m.sharedAddresses()...)
	all = append(all, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
	names = []string{"localhost"}

	if name := m.Hostname(); name != "" {
		names = append(names, name)
	}

	if cfg != nil {
		for _, san := range cfg.Machine().Security().CertSANs() {
			if ip, err := netip.ParseAddr(san); err == nil {
				all = append(all, ip)
			} else {
				names = append(names, san)
			}
		}
	}

	known := map[netip.Addr]bool{}

	for _, a := range all {
		if !known[a] {
			known[a] = true
			addresses = append(addresses, a.AsSlice())
		}
	}

	return addresses, names
}

func (m *Machine) maintenanceIdentity() (apid.Identity, string, error) {
	ca, err := x509.NewSelfSignedCertificateAuthority(x509.Organization("talos"))
	if err != nil {
		return apid.Identity{}, "", err
	}

	server, err := m.serverCertificate(ca, nil)
	if err != nil {
		return apid.Identity{}, "", err
	}

	leaf, err := stdx509.ParseCertificate(server.Certificate[0])
	if err != nil {
		return apid.Identity{}, "", err
	}

	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)

	return apid.Identity{Server: server}, base64.StdEncoding.EncodeToString(sum[:]), nil
}

func (m *Machine) serverCertificate(ca *x509.CertificateAuthority, cfg config.Provider) (tls.Certificate, error) {
	addresses, names := m.names(cfg)

	return keyPair(ca, x509.CommonName(m.Hostname()), x509.IPAddresses(addresses), x509.DNSNames(names),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}))
}

func keyPair(ca *x509.CertificateAuthority, options ...x509.Option) (tls.Certificate, error) {
	// Emulated clocks may differ by a second, and a certificate may be shown to another machine at once.
	options = append(options, x509.NotBefore(time.Now().Add(-time.Minute)), x509.NotAfter(time.Now().Add(certificateLife)),
		x509.KeyUsage(stdx509.KeyUsageDigitalSignature))

	pair, err := x509.NewKeyPair(ca, options...)
	if err != nil {
		return tls.Certificate{}, err
	}

	return *pair.Certificate, nil
}

// acceptedCAs are the CAs of clients and other machines.
func acceptedCAs(cfg config.Provider) []byte {
	var all [][]byte

	if ca := cfg.Machine().Security().IssuingCA(); ca != nil {
		all = append(all, ca.Crt)
	}

	for _, ca := range cfg.Machine().Security().AcceptedCAs() {
		all = append(all, ca.Crt)
	}

	return bytes.Join(all, []byte("\n"))
}

func (m *Machine) controlPlaneIdentity(cfg config.Provider) (apid.Identity, error) {
	ca, err := x509.NewCertificateAuthorityFromCertificateAndKey(cfg.Machine().Security().IssuingCA())
	if err != nil {
		return apid.Identity{}, err
	}

	server, err := m.serverCertificate(ca, cfg)
	if err != nil {
		return apid.Identity{}, err
	}

	client, err := keyPair(ca, x509.Organization(string(role.Impersonator)), x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth}))

	return apid.Identity{Server: server, CAs: acceptedCAs(cfg), Client: &client}, err
}

// workerIdentity requests a certificate from the control planes: those that were discovered, and the cluster's endpoint.
func (m *Machine) workerIdentity(ctx context.Context, cfg config.Provider) (apid.Identity, error) {
	endpoints := m.controlPlanes()

	if ip, err := netip.ParseAddr(cfg.Cluster().Endpoint().Hostname()); err == nil && !contains(endpoints, ip) {
		endpoints = append(endpoints, ip)
	}

	addresses, names := m.names(cfg)
	accepted := acceptedCAs(cfg)

	server, err := trustd.Request(ctx, endpoints, accepted, cfg.Machine().Security().Token(), m.Hostname(), addresses, names)

	return apid.Identity{Server: server, CAs: accepted}, err
}

// nodeID is a random name that lasts as long as the state partition.
func (m *Machine) nodeID() string {
	path := m.statePath("node-identity")

	if data, err := os.ReadFile(path); err == nil {
		return strings.TrimSpace(string(data))
	}

	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	text := strings.NewReplacer("-", "", "_", "", "=", "").Replace(base64.URLEncoding.EncodeToString(id))
	_ = writeFile(path, []byte(text)) // another one next time

	return text
}
