// Package api answers the machine's gRPC services behind the front door; other methods are answered Unimplemented, with their names.
package api

import (
	"context"
	"net"
	"sync"

	cosi "github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/protobuf/server"
	clusterapi "github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/api/inspect"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/api/storage"
	timeapi "github.com/siderolabs/talos/pkg/machinery/api/time"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"talosmith.dev/lab/tools/node/etcd"
	"talosmith.dev/lab/tools/node/events"
	"talosmith.dev/lab/tools/node/logs"
	"talosmith.dev/lab/tools/node/services"
)

// Machine is what the API drives.
type Machine interface {
	// Config is the current config, nil when there is none.
	Config() config.Provider
	// Activate makes a config the current one, Persist the one of the next boot.
	Activate(config.Provider) error
	Persist(config.Provider) error
	// Version is the Talos version this machine shows, Hostname its name.
	Version() string
	Hostname() string
	// CanBootstrap tells whether the machine has come far enough to start an etcd cluster.
	CanBootstrap() bool
	// Etcd is this machine's member; nil on a worker and in maintenance mode.
	Etcd() *etcd.Service
	// Sequences: each returns at once and continues in the background; actor identifies its events.
	Reboot(actor string, takeover bool)
	Shutdown(actor string)
	Reset(actor string, o ResetOptions)
	// Upgrade installs another version into the other boot slot, reporting progress; StageUpgrade and the like do it with a reboot.
	Install(ctx context.Context, image string, progress func(string)) error
	UpgradeAndReboot(actor, image string)
	// Rollback makes the other boot slot the one to boot.
	Rollback() error
	// Pull fetches an image, and returns its full name.
	Pull(ctx context.Context, image string) (string, error)
}

// ResetOptions select what a reset wipes.
type ResetOptions struct {
	Graceful, Reboot bool
	// Labels are the partitions to wipe; none means the whole system disk, unless KeepSystem.
	Labels     []string
	KeepSystem bool
	UserDisks  []string
}

// Server holds the handlers.
type Server struct {
	machine.UnimplementedMachineServiceServer

	M        Machine
	State    state.State
	Stream   *events.Stream
	Services *services.Registry
	Store    *logs.Store

	applying     sync.Mutex
	rebooting    bool // a config was applied that needs a reboot
	tryRevert    func()
	installing   sync.Mutex
	health       clusterService
	storage      storageService
	time         timeService
	lifecycle    lifecycleService
	images       imageService
	registerOnce sync.Once
}

type rolesKey struct{}

// Roles are those of the caller, established by the front door.
func Roles(ctx context.Context) role.Set {
	if roles, ok := ctx.Value(rolesKey{}).(role.Set); ok {
		return roles
	}

	md, _ := metadata.FromIncomingContext(ctx)
	roles, _ := role.Parse(md[constants.APIAuthzRoleMetadataKey])

	return roles
}

var errNotAuthorized = status.Error(codes.PermissionDenied, "not authorized")

func authorize(ctx context.Context, method string) error {
	allowed, ok := rules[method]
	if !ok {
		allowed = admin
	}

	if !Roles(ctx).IncludesAny(allowed) {
		return errNotAuthorized
	}

	return nil
}

// Serve answers on a listener until it closes.
func (s *Server) Serve(listener net.Listener) error {
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if err := authorize(ctx, info.FullMethod); err != nil {
				return nil, err
			}

			return handler(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if err := authorize(stream.Context(), info.FullMethod); err != nil {
				return err
			}

			return handler(srv, stream)
		}),
	)

	s.registerOnce.Do(func() {
		s.health.s, s.storage.s, s.time.s, s.lifecycle.s, s.images.s = s, s, s, s, s
	})

	machine.RegisterMachineServiceServer(g, s)
	machine.RegisterLifecycleServiceServer(g, &s.lifecycle)
	machine.RegisterImageServiceServer(g, &s.images)
	clusterapi.RegisterClusterServiceServer(g, &s.health)
	storage.RegisterStorageServiceServer(g, &s.storage)
	timeapi.RegisterTimeServiceServer(g, &s.time)
	// Registered so that their missing methods are answered with their names.
	machine.RegisterDebugServiceServer(g, &machine.UnimplementedDebugServiceServer{})
	inspect.RegisterInspectServiceServer(g, &inspect.UnimplementedInspectServiceServer{})
	cosi.RegisterStateServer(g, server.NewState(readOnly(s.State)))

	return g.Serve(listener)
}

// maintenance tells whether the machine has no config it could boot with.
func (s *Server) maintenance() bool {
	cfg := s.M.Config()

	return cfg == nil || !cfg.CompleteForBoot()
}

// controlPlane returns this machine's etcd member, or why this machine has none.
func (s *Server) controlPlane(what string) (*etcd.Service, error) {
	if cfg := s.M.Config(); cfg != nil && cfg.Machine() != nil && cfg.Machine().Type().IsControlPlane() {
		if member := s.M.Etcd(); member != nil {
			return member, nil
		}

		return nil, status.Errorf(codes.FailedPrecondition, "%s is not available yet", what)
	}

	return nil, status.Errorf(codes.Unimplemented, "%s is only available on control plane nodes", what)
}
