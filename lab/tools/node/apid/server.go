// Package apid is the machine's front door on port 50000: TLS, roles from certificates, and calls passed on to this or other machines.
package apid

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Options are what the front door needs to know about its machine.
type Options struct {
	// Socket is where the machine's own services listen.
	Socket string
	// IsLocal tells whether a requested node is this machine.
	IsLocal func(node string) bool
	// Resolve turns a node's name into an address; an unknown name is returned unchanged.
	Resolve func(node string) string
}

// Identity is the TLS side of the front door.
type Identity struct {
	// Server is the certificate to show.
	Server tls.Certificate
	// CAs sign the clients; none means maintenance mode: no client certificate, every client is a reader.
	CAs []byte
	// Client is what this machine shows to others; workers have none and forward nothing.
	Client *tls.Certificate
}

// Server is the front door.
type Server struct {
	options  Options
	local    *grpc.ClientConn
	listener net.Listener

	mu      sync.Mutex
	current *grpc.Server
	conns   *handover
}

// New listens; nothing is served before Use.
func New(listener net.Listener, options Options) (*Server, error) {
	local, err := grpc.NewClient("unix:"+options.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(constants.GRPCMaxMessageSize)))
	if err != nil {
		return nil, err
	}

	s := &Server{options: options, local: local, listener: listener}
	go s.accept()

	return s, nil
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}

		if err != nil {
			time.Sleep(time.Second)

			continue
		}

		s.mu.Lock()
		conns := s.conns
		s.mu.Unlock()

		if conns == nil || !conns.give(conn) {
			_ = conn.Close() // no server yet
		}
	}
}

// Use serves with another identity; calls in progress finish, connections made under the old one are closed.
func (s *Server) Use(identity Identity) error {
	id, err := newIdentity(identity)
	if err != nil {
		return err
	}

	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(id.server)),
		grpc.ForceServerCodec(raw{}), // a codec of bytes
		grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return s.handle(id, stream) }),
	)
	conns := newHandover(s.listener.Addr())

	s.mu.Lock()
	old, oldConns := s.current, s.conns
	s.current, s.conns = server, conns
	s.mu.Unlock()

	go server.Serve(conns) //nolint:errcheck // ends with the handover

	if old != nil {
		go func() {
			_ = oldConns.Close() // never fails

			force := time.AfterFunc(5*time.Second, old.Stop)
			old.GracefulStop()
			force.Stop()
		}()
	}

	return nil
}

// Stop ends everything.
func (s *Server) Stop() {
	_ = s.listener.Close() // ends anyway

	s.mu.Lock()
	current := s.current
	s.mu.Unlock()

	if current != nil {
		current.Stop()
	}
}

type identity struct {
	maintenance bool
	server      *tls.Config
	client      *tls.Config

	mu    sync.Mutex
	conns map[string]*grpc.ClientConn
}

func newIdentity(i Identity) (*identity, error) {
	id := &identity{
		maintenance: len(i.CAs) == 0,
		server:      &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{i.Server}},
		conns:       map[string]*grpc.ClientConn{},
	}

	if id.maintenance {
		return id, nil
	}

	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(i.CAs) {
		return nil, errors.New("failed to parse CA certs into a CertPool")
	}

	id.server.ClientAuth, id.server.ClientCAs = tls.RequireAndVerifyClientCert, pool
	id.server.VerifyPeerCertificate = func(_ [][]byte, chains [][]*x509.Certificate) error {
		for _, chain := range chains {
			leaf := chain[0]
			if !leaf.IsCA && (len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth) {
				return fmt.Errorf("certificate %q is missing the client auth extended key usage", leaf.Subject)
			}
		}

		return nil
	}

	if i.Client != nil {
		id.client = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*i.Client}, RootCAs: pool}
	}

	return id, nil
}

// roles are the caller's: of its certificate, or those that another machine's front door vouches for.
func (id *identity) roles(ctx context.Context) role.Set {
	if id.maintenance {
		return role.MakeSet(role.Reader)
	}

	p, ok := peer.FromContext(ctx)
	if !ok {
		return role.MakeSet()
	}

	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return role.MakeSet()
	}

	roles, _ := role.Parse(info.State.PeerCertificates[0].Subject.Organization)

	if roles.Includes(role.Impersonator) {
		if md, ok := metadata.FromIncomingContext(ctx); ok && len(md[constants.APIAuthzRoleMetadataKey]) > 0 {
			roles, _ = role.Parse(md[constants.APIAuthzRoleMetadataKey])
		}
	}

	return roles
}

func (id *identity) dial(host string) (*grpc.ClientConn, error) {
	id.mu.Lock()
	defer id.mu.Unlock()

	if conn, ok := id.conns[host]; ok {
		return conn, nil
	}

	if host == "" {
		return nil, fmt.Errorf("invalid target %q", host)
	}

	if _, err := netip.ParseAddrPort(host); err == nil {
		return nil, fmt.Errorf("invalid target %q", host)
	}

	wait := backoff.DefaultConfig
	wait.MaxDelay = 15 * time.Second

	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(host, strconv.Itoa(constants.ApidPort)),
		grpc.WithTransportCredentials(credentials.NewTLS(id.client)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: wait, MinConnectTimeout: 20 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(constants.GRPCMaxMessageSize)))
	if err == nil {
		id.conns[host] = conn
	}

	return conn, err
}

// Pause refuses new connections until the next Use; calls in progress finish.
func (s *Server) Pause() {
	s.mu.Lock()
	old, conns := s.current, s.conns
	s.current, s.conns = nil, nil
	s.mu.Unlock()

	if old == nil {
		return
	}

	_ = conns.Close() // never fails

	go func() {
		force := time.AfterFunc(5*time.Second, old.Stop)
		old.GracefulStop()
		force.Stop()
	}()
}
