// Package trustd signs the workers' API certificates: on control planes it listens on port 50001, on workers it is its client.
package trustd

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	stdx509 "crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/siderolabs/crypto/x509"
	securityapi "github.com/siderolabs/talos/pkg/machinery/api/security"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// ID is the service's name.
const ID = "trustd"

type server struct {
	securityapi.UnimplementedSecurityServiceServer
	issuer   *x509.PEMEncodedCertificateAndKey
	accepted []byte
	token    string
}

// Serve signs requests until ctx ends.
func Serve(ctx context.Context, listener net.Listener, certificate tls.Certificate, issuer *x509.PEMEncodedCertificateAndKey, accepted []byte, token string) error {
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{certificate}})))
	securityapi.RegisterSecurityServiceServer(g, &server{issuer: issuer, accepted: accepted, token: token})

	stop := context.AfterFunc(ctx, g.Stop)
	defer stop()

	return g.Serve(listener)
}

// Certificate implements securityapi.SecurityService: server certificates only, whatever is requested.
func (s *server) Certificate(ctx context.Context, in *securityapi.CertificateRequest) (*securityapi.CertificateResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if token := md.Get("token"); len(token) != 1 || subtle.ConstantTimeCompare([]byte(token[0]), []byte(s.token)) != 1 {
		return nil, status.Error(codes.Unauthenticated, "invalid token")
	}

	if block, _ := pem.Decode(in.GetCsr()); block == nil {
		return nil, status.Error(codes.InvalidArgument, "failed to decode CSR")
	} else if _, err := stdx509.ParseCertificateRequest(block.Bytes); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "failed to parse CSR: %v", err)
	}

	signed, err := x509.NewCertificateFromCSRBytes(s.issuer.Crt, s.issuer.Key, in.GetCsr(),
		x509.KeyUsage(stdx509.KeyUsageDigitalSignature), x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}),
		x509.NotBefore(time.Now().Add(-time.Minute)), x509.NotAfter(time.Now().Add(365*24*time.Hour)),
		x509.OverrideSubject(func(subject *pkix.Name) { subject.Organization = nil }))
	if err != nil {
		return nil, status.Errorf(codes.Internal, "failed to sign CSR: %v", err)
	}

	return &securityapi.CertificateResponse{Ca: s.accepted, Crt: signed.X509CertificatePEM}, nil
}

// Request requests a server certificate for this machine from the control planes, one after the other.
func Request(ctx context.Context, endpoints []netip.Addr, accepted []byte, token, host string, addresses []net.IP, names []string) (tls.Certificate, error) {
	var none tls.Certificate

	csr, identity, err := x509.NewEd25519CSRAndIdentity(x509.IPAddresses(addresses), x509.DNSNames(names), x509.CommonName(host))
	if err != nil {
		return none, err
	}

	pool := stdx509.NewCertPool()
	pool.AppendCertsFromPEM(accepted)

	err = errors.New("no control plane is known")

	for _, endpoint := range endpoints {
		var answer *securityapi.CertificateResponse

		if answer, err = ask(ctx, endpoint, pool, token, csr.X509CertificateRequestPEM); err == nil {
			return tls.X509KeyPair(answer.GetCrt(), identity.Key)
		}
	}

	return none, err
}

func ask(ctx context.Context, endpoint netip.Addr, pool *stdx509.CertPool, token string, csr []byte) (*securityapi.CertificateResponse, error) {
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(endpoint.String(), strconv.Itoa(constants.TrustdPort)),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool})))
	if err != nil {
		return nil, err
	}

	defer conn.Close() // done with it

	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "token", token), 15*time.Second)
	defer cancel()

	return securityapi.NewSecurityServiceClient(conn).Certificate(ctx, &securityapi.CertificateRequest{Csr: csr})
}
