// Package etcd runs this machine's etcd member as a process: bootstrap once, join, leave, health, recovery.
package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/siderolabs/crypto/x509"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talosmith.dev/lab/tools/node/services"
)

// ID is the service's name.
const ID = "etcd"

const (
	clientPort = "2379"
	peerPort   = "2380"
)

// Options describe the member.
type Options struct {
	Name    string
	Address netip.Addr
	CA      *x509.PEMEncodedCertificateAndKey
	Image   string
	Extra   map[string][]string
	// DataDir survives reboots, PKIDir need not.
	DataDir, PKIDir string
	// Peers are the addresses of the other control planes, as far as they are known.
	Peers func() []netip.Addr
	// Pull gives the path of the executable of an image.
	Pull     func(ctx context.Context, image string) (string, error)
	Log      io.Writer
	Services *services.Registry
	// Healthy is called with the member's id whenever the member becomes healthy.
	Healthy func(member uint64)
}

type request struct{ recover, skipHashCheck bool }

// Service is the member.
type Service struct {
	o Options

	mu        sync.Mutex
	tls       *tls.Config
	bootstrap *request // a requested bootstrap that has not started
	stopped   bool
	cancel    context.CancelFunc // ends the present run
	done      chan struct{}      // closed when the present run has ended
	wake      chan struct{}
	learner   uint64
}

// New returns a member that does nothing before Run.
func New(o Options) *Service {
	return &Service{o: o, wake: make(chan struct{}, 1)}
}

// Name is the member's name.
func (s *Service) Name() string { return s.o.Name }

func url(a netip.Addr, port string) string {
	return "https://" + netip.AddrPortFrom(a, 0).Addr().String() + ":" + port
}

// Endpoint is the client URL of this member.
func (s *Service) Endpoint() string { return url(s.o.Address, clientPort) }

// Run keeps the member running until ctx ends.
func (s *Service) Run(ctx context.Context) {
	// Talos refuses every operation on etcd (internal/app/machined/pkg/system/system.go, APIStart and APIStop). Stop is
	// the lab's own, to have an etcd that has failed; what starts it again is a reboot, as there.
	s.o.Services.Register(ID, services.Controls{Stop: s.Stop})

	for ctx.Err() == nil {
		s.mu.Lock()
		stopped := s.stopped
		run, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		s.cancel, s.done = cancel, done
		s.mu.Unlock()

		if stopped {
			close(done)

			select {
			case <-ctx.Done():
			case <-s.wake:
			}

			cancel()

			continue
		}

		err := s.once(run)

		ended := run.Err() != nil

		cancel()
		close(done)

		if ended {
			s.o.Services.Set(ID, services.Finished, "Service finished successfully")

			continue
		}

		s.o.Services.Set(ID, services.Waiting, "Error running etcd, going to restart forever: %v", err)

		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-time.After(5 * time.Second):
		}
	}
}

// Stop ends the member until Start.
func (s *Service) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	cancel, done := s.cancel, s.done
	s.mu.Unlock()

	if cancel == nil {
		return nil
	}

	cancel()

	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Start makes a stopped member run again.
func (s *Service) Start(context.Context) error {
	s.mu.Lock()
	s.stopped = false
	s.mu.Unlock()
	s.poke()

	return nil
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Bootstrap begins a new cluster of this member alone, optionally from an uploaded snapshot.
func (s *Service) Bootstrap(recovery, skipHashCheck bool) error {
	if !isEmpty(s.o.DataDir) {
		return status.Error(codes.AlreadyExists, "etcd data directory is not empty")
	}

	s.mu.Lock()

	if s.bootstrap != nil {
		s.mu.Unlock()

		return status.Error(codes.AlreadyExists, "etcd data directory is not empty")
	}

	s.bootstrap = &request{recovery, skipHashCheck}
	s.stopped = false
	cancel := s.cancel
	s.mu.Unlock()

	if cancel != nil {
		cancel() // it was waiting to join
	}

	s.poke()

	return nil
}

func isEmpty(dir string) bool {
	entries, err := os.ReadDir(dir)

	return err != nil || len(entries) == 0
}

// once runs the process once, until it exits.
func (s *Service) once(ctx context.Context) error {
	s.o.Services.Set(ID, services.Preparing, "Running pre state")

	binary, err := s.pull(ctx)
	if err != nil {
		return err
	}

	if err := s.writePKI(); err != nil {
		return err
	}

	state, cluster, err := s.initialCluster(ctx)
	if err != nil {
		return err
	}

	cmd := exec.Command(binary, s.args(state, cluster)...)
	cmd.Args[0] = ID
	cmd.Stdout, cmd.Stderr = s.o.Log, s.o.Log

	if err := cmd.Start(); err != nil {
		return err
	}

	// Before the API server, which would let etcd wait while it starts.
	_ = unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, -10) // then it waits

	s.o.Services.Set(ID, services.Running, "Started task etcd (PID %d) for container etcd", cmd.Process.Pid)

	life, ended := context.WithCancel(ctx)
	defer ended()

	go s.watchHealth(life)

	if s.learner != 0 {
		go s.promote(life, s.learner)
		s.learner = 0
	}

	exit := make(chan error, 1)
	go func() { exit <- cmd.Wait() }()

	select {
	case err := <-exit:
		if err == nil {
			err = errors.New("etcd ended")
		}

		return err
	case <-ctx.Done():
	}

	s.o.Services.Set(ID, services.Stopping, "Sending SIGTERM to task etcd (PID %d, container etcd)", cmd.Process.Pid)

	_ = cmd.Process.Signal(syscall.SIGTERM) // killed below

	select {
	case <-exit: //nolint:errcheck // ended as it was told to
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill() // it ended
		<-exit //nolint:errcheck // ended by force
	}

	return ctx.Err()
}

// pull gets the executable; it keeps trying, as an image pull does.
func (s *Service) pull(ctx context.Context) (string, error) {
	for wait := 2 * time.Second; ; wait = min(2*wait, 30*time.Second) {
		binary, err := s.o.Pull(ctx, s.o.Image)
		if err == nil {
			return binary, nil
		}

		s.o.Services.Set(ID, services.Preparing, "Failed to pull image %q: %v", s.o.Image, err)

		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(wait):
		}
	}
}

// args are the process's arguments; those of the config come last, so that they win.
func (s *Service) args(state, cluster string) []string {
	flags := [][2]string{
		{"name", s.o.Name}, {"data-dir", s.o.DataDir},
		{"listen-peer-urls", url(s.o.Address, peerPort)}, {"listen-client-urls", url(s.o.Address, clientPort)},
		{"initial-advertise-peer-urls", url(s.o.Address, peerPort)}, {"advertise-client-urls", url(s.o.Address, clientPort)},
		{"client-cert-auth", "true"}, {"cert-file", s.pki("server.crt")}, {"key-file", s.pki("server.key")}, {"trusted-ca-file", s.pki("ca.crt")},
		{"peer-client-cert-auth", "true"}, {"peer-cert-file", s.pki("peer.crt")}, {"peer-key-file", s.pki("peer.key")}, {"peer-trusted-ca-file", s.pki("ca.crt")},
		// Emulated machines share cores and stall for seconds: the defaults (100 ms, 1 s) would elect leaders all day, and
		// Talos' 5 s between two progress notifications, for each of an API server's watches, would take a tenth of a core.
		{"heartbeat-interval", "500"}, {"election-timeout", "5000"}, {"watch-progress-notify-interval", "1m"},
	}

	if state != "" {
		flags = append(flags, [2]string{"initial-cluster-state", state}, [2]string{"initial-cluster", cluster})
	}

	var args []string

	for _, f := range flags {
		if _, overridden := s.o.Extra[f[0]]; !overridden {
			args = append(args, "--"+f[0]+"="+f[1])
		}
	}

	for name, values := range s.o.Extra {
		args = append(args, "--"+name+"="+strings.Join(values, ","))
	}

	return args
}

func (s *Service) watchHealth(ctx context.Context) {
	var client *clientv3.Client

	defer func() {
		if client != nil {
			client.Close() // done with it
		}
	}()

	healthy := false

	for wait := 2 * time.Second; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}

		var err error
		if client == nil {
			client, err = s.Client(false)
		}

		var member uint64

		if err == nil {
			member, err = quorum(ctx, client)
		}

		if ctx.Err() != nil {
			return
		}

		message := ""
		if err != nil {
			message = err.Error()
		}

		s.o.Services.SetHealth(ID, err == nil, message)

		wait = 4 * time.Second
		if err == nil {
			wait = 20 * time.Second

			if !healthy && s.o.Healthy != nil {
				s.o.Healthy(member)
			}
		}

		healthy = err == nil
	}
}

// quorum reads through consensus; it returns the id of the member that answered.
func quorum(ctx context.Context, c *clientv3.Client) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()

	r, err := c.Get(ctx, "health")
	if err != nil {
		return 0, err
	}

	return r.Header.MemberId, nil
}

// Client connects to this member, or (all) to every control plane that is known.
func (s *Service) Client(all bool) (*clientv3.Client, error) {
	endpoints := []string{s.Endpoint()}

	if all {
		for _, peer := range s.o.Peers() {
			endpoints = append(endpoints, url(peer, clientPort))
		}
	}

	return s.connect(endpoints)
}

func (s *Service) connect(endpoints []string) (*clientv3.Client, error) {
	config, err := s.clientTLS()
	if err != nil {
		return nil, err
	}

	return clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: config, DialTimeout: 10 * time.Second, Logger: quiet()})
}

func (s *Service) logf(format string, args ...any) {
	log.Printf("etcd: "+format, args...)
	fmt.Fprintf(s.o.Log, format+"\n", args...) // in memory
}
