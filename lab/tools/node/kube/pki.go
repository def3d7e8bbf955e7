package kube

import (
	stdx509 "crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/siderolabs/crypto/x509"
)

const (
	serverUsage = stdx509.KeyUsageDigitalSignature | stdx509.KeyUsageKeyEncipherment
	certTTL     = 365 * 24 * time.Hour
)

// subject is who a certificate is for.
type subject struct {
	name         string
	organization []string
	ips          []net.IP
	dns          []string
	server       bool
	ttl          time.Duration
}

// issue signs a certificate by a CA of the machine config and gives it and its key as PEM.
func issue(ca *x509.PEMEncodedCertificateAndKey, s subject) ([]byte, []byte, error) {
	authority, err := x509.NewCertificateAuthorityFromCertificateAndKey(ca)
	if err != nil {
		return nil, nil, fmt.Errorf("CA of %s: %w", s.name, err)
	}

	usage := stdx509.ExtKeyUsageClientAuth
	if s.server {
		usage = stdx509.ExtKeyUsageServerAuth
	}

	if s.ttl == 0 {
		s.ttl = certTTL
	}

	pair, err := x509.NewKeyPair(authority,
		x509.CommonName(s.name), x509.Organization(s.organization...),
		x509.IPAddresses(s.ips), x509.DNSNames(s.dns),
		x509.NotAfter(time.Now().Add(s.ttl)),
		x509.KeyUsage(serverUsage), x509.ExtKeyUsage([]stdx509.ExtKeyUsage{usage}),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", s.name, err)
	}

	return pair.CrtPEM, pair.KeyPEM, nil
}

// acceptedCAs is every certificate that may have signed the cluster's certificates.
func (o *Options) acceptedCAs() []byte {
	var all []byte

	if ca := o.Config.Cluster().IssuingCA(); ca != nil {
		all = append(all, ca.Crt...)
	}

	for _, ca := range o.Config.Cluster().AcceptedCAs() {
		all = append(all, '\n')
		all = append(all, ca.Crt...)
	}

	return all
}

// serverNames are the addresses and names of the API server's certificate.
func (o *Options) serverNames() ([]net.IP, []string, error) {
	cluster := o.Config.Cluster()

	serviceIPs, err := cluster.Network().APIServerIPs()
	if err != nil {
		return nil, nil, err
	}

	ips := []net.IP{o.Address.AsSlice(), net.IPv4(127, 0, 0, 1)}
	for _, ip := range serviceIPs {
		ips = append(ips, ip.AsSlice())
	}

	names := []string{
		o.Hostname, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + cluster.Network().DNSDomain(),
	}

	for _, san := range append(cluster.CertSANs(), cluster.Endpoint().Hostname()) {
		if ip := net.ParseIP(san); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, san)
		}
	}

	return ips, names, nil
}

// secretsDigest changes when the certificates must be issued again.
func (o *Options) secretsDigest() string {
	cluster := o.Config.Cluster()
	ips, names, _ := o.serverNames() // writePKI reports the error
	parts := append([]string{string(o.acceptedCAs()), string(cluster.ServiceAccount().Key), o.localServer(), fmt.Sprint(ips)}, names...)

	for _, ca := range []*x509.PEMEncodedCertificateAndKey{cluster.IssuingCA(), cluster.AggregatorCA(), cluster.Etcd().CA()} {
		parts = append(parts, string(ca.Crt), string(ca.Key))
	}

	return digest(parts...)
}

// writePKI writes every certificate, key and kubeconfig that the control plane's programs read.
func (o *Options) writePKI() error {
	cluster := o.Config.Cluster()

	ips, names, err := o.serverNames()
	if err != nil {
		return err
	}

	issued := []struct {
		file string
		ca   *x509.PEMEncodedCertificateAndKey
		who  subject
	}{
		{"apiserver", cluster.IssuingCA(), subject{name: "kube-apiserver", organization: []string{"kube-master"}, ips: ips, dns: names, server: true}},
		{"kubelet-client", cluster.IssuingCA(), subject{name: "apiserver-kubelet-client", organization: []string{"system:masters"}}},
		{"front-proxy-client", cluster.AggregatorCA(), subject{name: "front-proxy-client"}},
		{"etcd-client", cluster.Etcd().CA(), subject{name: "kube-apiserver"}},
		{"controller-manager", cluster.IssuingCA(), subject{name: "system:kube-controller-manager", organization: []string{"system:kube-controller-manager"}}},
		{"scheduler", cluster.IssuingCA(), subject{name: "system:kube-scheduler", organization: []string{"system:kube-scheduler"}}},
	}

	files := map[string][]byte{
		"ca.crt":              o.acceptedCAs(),
		"ca-issuing.crt":      cluster.IssuingCA().Crt,
		"ca-issuing.key":      cluster.IssuingCA().Key,
		"aggregator-ca.crt":   cluster.AggregatorCA().Crt,
		"etcd-ca.crt":         cluster.Etcd().CA().Crt,
		"service-account.key": cluster.ServiceAccount().Key,
	}

	account, err := cluster.ServiceAccount().GetKey()
	if err != nil {
		return fmt.Errorf("service account key: %w", err)
	}

	files["service-account.pub"] = account.GetPublicKeyPEM()

	for _, one := range issued {
		crt, key, err := issue(one.ca, one.who)
		if err != nil {
			return err
		}

		files[one.file+".crt"], files[one.file+".key"] = crt, key
	}

	for name, content := range files {
		if err := writeFile(o.path("pki", name), content); err != nil {
			return err
		}
	}

	for _, name := range []string{"controller-manager", "scheduler"} {
		text := kubeconfig("lab", o.localServer(), files["ca.crt"], name, files[name+".crt"], files[name+".key"])
		if err := writeFile(o.path("pki", name+".kubeconfig"), text); err != nil {
			return err
		}
	}

	return nil
}

// writeFile writes a file that only this machine's root reads, whole or not at all.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}

	temporary := path + ".tmp"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}

	return os.Rename(temporary, path)
}

// certificateExpires is when the first certificate of a PEM text ends; zero when there is none.
func certificateExpires(text []byte) time.Time {
	block, _ := pem.Decode(text)
	if block == nil {
		return time.Time{}
	}

	crt, err := stdx509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}

	return crt.NotAfter
}
