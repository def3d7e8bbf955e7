package trustd_test

import (
	"context"
	"crypto/tls"
	stdx509 "crypto/x509"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/siderolabs/crypto/x509"

	"talosmith.dev/lab/tools/node/trustd"
)

func TestSignsServerCertificatesForTheToken(t *testing.T) {
	ca, err := x509.NewSelfSignedCertificateAuthority(x509.Organization("talos"))
	if err != nil {
		t.Fatal(err)
	}

	pair, err := x509.NewKeyPair(ca, x509.IPAddresses([]net.IP{net.IPv4(127, 0, 0, 91)}), x509.NotAfter(time.Now().Add(time.Hour)),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}))
	if err != nil {
		t.Fatal(err)
	}

	listener, err := net.Listen("tcp", "127.0.0.91:50001")
	if err != nil {
		t.Skip(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	go trustd.Serve(ctx, listener, *pair.Certificate, //nolint:errcheck // ends with the test
		&x509.PEMEncodedCertificateAndKey{Crt: ca.CrtPEM, Key: ca.KeyPEM}, ca.CrtPEM, "good")

	request := func(token string) (tls.Certificate, error) {
		return trustd.Request(ctx, []netip.Addr{netip.MustParseAddr("127.0.0.91")}, ca.CrtPEM, token, "w1", []net.IP{net.IPv4(10, 0, 0, 9)}, []string{"w1"})
	}

	if _, err := request("bad"); err == nil {
		t.Error("signed for a wrong token")
	}

	cert, err := request("good")
	if err != nil {
		t.Fatal(err)
	}

	leaf, err := stdx509.ParseCertificate(cert.Certificate[0])
	if err != nil || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != stdx509.ExtKeyUsageServerAuth || leaf.VerifyHostname("10.0.0.9") != nil {
		t.Errorf("%+v, %v", leaf, err)
	}
}
