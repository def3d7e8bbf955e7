package etcd

import (
	"crypto/tls"
	stdx509 "crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/siderolabs/crypto/x509"
)

const certificateLife = 10 * 365 * 24 * time.Hour

var both = []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth, stdx509.ExtKeyUsageClientAuth}

// issue makes a certificate of the config's etcd CA.
func (s *Service) issue(name string, usage []stdx509.ExtKeyUsage, hosts bool) (*x509.PEMEncodedCertificateAndKey, error) {
	ca, err := x509.NewCertificateAuthorityFromCertificateAndKey(s.o.CA)
	if err != nil {
		return nil, fmt.Errorf("failed loading CA from config: %w", err)
	}

	options := []x509.Option{
		x509.CommonName(name), x509.ExtKeyUsage(usage),
		x509.NotBefore(time.Now().Add(-time.Minute)), x509.NotAfter(time.Now().Add(certificateLife)),
		x509.KeyUsage(stdx509.KeyUsageDigitalSignature | stdx509.KeyUsageKeyEncipherment),
	}

	if hosts {
		options = append(options, x509.DNSNames([]string{s.o.Name, "localhost"}), x509.IPAddresses([]net.IP{s.o.Address.AsSlice(), net.IPv4(127, 0, 0, 1)}))
	}

	pair, err := x509.NewKeyPair(ca, options...)
	if err != nil {
		return nil, err
	}

	return x509.NewCertificateAndKeyFromKeyPair(pair), nil
}

func (s *Service) writePKI() error {
	if err := os.MkdirAll(s.o.PKIDir, 0o700); err != nil {
		return err
	}

	if err := os.WriteFile(s.pki("ca.crt"), s.o.CA.Crt, 0o400); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}

	for _, name := range []string{"server", "peer"} {
		pair, err := s.issue(s.o.Name, both, true)
		if err != nil {
			return fmt.Errorf("etcd %s certificate: %w", name, err)
		}

		if err := errors.Join(os.WriteFile(s.pki(name+".crt"), pair.Crt, 0o600), os.WriteFile(s.pki(name+".key"), pair.Key, 0o600)); err != nil {
			return err
		}
	}

	return nil
}

func (s *Service) pki(name string) string { return filepath.Join(s.o.PKIDir, name) }

// clientTLS is what the machine shows to etcd, here and on other control planes.
func (s *Service) clientTLS() (*tls.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.tls != nil {
		return s.tls, nil
	}

	pair, err := s.issue("talos-etcd-client", []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth}, false)
	if err != nil {
		return nil, err
	}

	cert, err := tls.X509KeyPair(pair.Crt, pair.Key)
	if err != nil {
		return nil, err
	}

	pool := stdx509.NewCertPool()
	pool.AppendCertsFromPEM(s.o.CA.Crt)
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, RootCAs: pool}

	return s.tls, nil
}
