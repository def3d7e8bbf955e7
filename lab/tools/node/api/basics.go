package api

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"talosmith.dev/lab/tools/node/events"
	"talosmith.dev/lab/tools/node/kube"
)

// Version implements machine.MachineService.
func (s *Server) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	v := &machine.Version{
		Version: &machine.VersionInfo{
			Tag: s.M.Version(), Sha: "lab", Built: "lab", GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH,
		},
		Platform: &machine.PlatformInfo{Name: "nocloud", Mode: "cloud"},
	}

	if cfg := s.M.Config(); cfg != nil && cfg.Machine() != nil {
		v.Features = &machine.FeaturesInfo{Rbac: true}
	}

	return &machine.VersionResponse{Messages: []*machine.Version{v}}, nil
}

// Hostname implements machine.MachineService.
func (s *Server) Hostname(context.Context, *emptypb.Empty) (*machine.HostnameResponse, error) {
	return &machine.HostnameResponse{Messages: []*machine.Hostname{{Hostname: s.M.Hostname()}}}, nil
}

// Events implements machine.MachineService: an empty event first, then the requested ones.
func (s *Server) Events(req *machine.EventsRequest, stream machine.MachineService_EventsServer) error {
	send := func(e events.Event) error {
		m, err := e.Proto()
		if err != nil {
			return err
		}

		return stream.Send(m)
	}

	if err := send(events.Event{Actor: req.GetWithActorId()}); err != nil {
		return err
	}

	return s.Stream.Watch(stream.Context(), req, send)
}

// ServiceList implements machine.MachineService.
func (s *Server) ServiceList(context.Context, *emptypb.Empty) (*machine.ServiceListResponse, error) {
	return &machine.ServiceListResponse{Messages: []*machine.ServiceList{{Services: s.Services.List()}}}, nil
}

// ServiceStart implements machine.MachineService.
func (s *Server) ServiceStart(ctx context.Context, in *machine.ServiceStartRequest) (*machine.ServiceStartResponse, error) {
	if err := s.Services.Start(ctx, in.GetId()); err != nil {
		return nil, err
	}

	return &machine.ServiceStartResponse{Messages: []*machine.ServiceStart{{Resp: fmt.Sprintf("Service %q started", in.GetId())}}}, nil
}

// ServiceStop implements machine.MachineService.
func (s *Server) ServiceStop(ctx context.Context, in *machine.ServiceStopRequest) (*machine.ServiceStopResponse, error) {
	if err := s.Services.Stop(ctx, in.GetId()); err != nil {
		return nil, err
	}

	return &machine.ServiceStopResponse{Messages: []*machine.ServiceStop{{Resp: fmt.Sprintf("Service %q stopped", in.GetId())}}}, nil
}

// ServiceRestart implements machine.MachineService.
func (s *Server) ServiceRestart(ctx context.Context, in *machine.ServiceRestartRequest) (*machine.ServiceRestartResponse, error) {
	if err := s.Services.Restart(ctx, in.GetId()); err != nil {
		return nil, err
	}

	return &machine.ServiceRestartResponse{Messages: []*machine.ServiceRestart{{Resp: fmt.Sprintf("Service %q restarted", in.GetId())}}}, nil
}

// Bootstrap implements machine.MachineService.
func (s *Server) Bootstrap(_ context.Context, in *machine.BootstrapRequest) (*machine.BootstrapResponse, error) {
	log.Print("bootstrap request received")

	if !s.M.CanBootstrap() {
		return nil, status.Error(codes.FailedPrecondition, "bootstrap is not available yet")
	}

	member, err := s.controlPlane("bootstrap")
	if err != nil {
		return nil, err
	}

	if err := member.Bootstrap(in.GetRecoverEtcd(), in.GetRecoverSkipHashCheck()); err != nil {
		return nil, err
	}

	return &machine.BootstrapResponse{Messages: []*machine.Bootstrap{{}}}, nil
}

// Kubeconfig implements machine.MachineService: a tar.gz of one file.
func (s *Server) Kubeconfig(_ *emptypb.Empty, stream machine.MachineService_KubeconfigServer) error {
	if _, err := s.controlPlane("kubeconfig"); err != nil {
		return err
	}

	cfg := s.M.Config()

	text, err := kube.AdminKubeconfig(cfg, cfg.Cluster().Endpoint().String())
	if err != nil {
		return err
	}

	var buffer bytes.Buffer

	zipped := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(zipped)

	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "kubeconfig", Size: int64(len(text)), ModTime: time.Now(), Mode: 0o600}); err != nil {
		return err
	}

	if _, err := archive.Write(text); err != nil {
		return err
	}

	if err := archive.Close(); err != nil {
		return err
	}

	if err := zipped.Close(); err != nil {
		return err
	}

	return stream.Send(&common.Data{Bytes: buffer.Bytes()})
}

// GenerateClientConfiguration implements machine.MachineService.
func (s *Server) GenerateClientConfiguration(
	_ context.Context, in *machine.GenerateClientConfigurationRequest,
) (*machine.GenerateClientConfigurationResponse, error) {
	if _, err := s.controlPlane("generate client configuration"); err != nil {
		return nil, err
	}

	ttl := in.GetCrtTtl().AsDuration()
	if ttl <= 0 {
		return nil, status.Error(codes.InvalidArgument, "crt_ttl should be positive")
	}

	roles, _ := role.Parse(in.GetRoles())
	bundle := secrets.NewBundleFromConfig(secrets.NewFixedClock(time.Now()), s.M.Config())

	cert, err := bundle.GenerateTalosAPIClientCertificateWithTTL(roles, ttl)
	if err != nil {
		return nil, err
	}

	name := s.M.Config().Cluster().Name()
	if one := roles.Strings(); len(one) == 1 {
		name = one[0][len(role.Prefix):] + "@" + name
	}

	text, err := clientconfig.NewConfig(name, nil, bundle.Certs.OS.Crt, cert).Bytes()
	if err != nil {
		return nil, err
	}

	return &machine.GenerateClientConfigurationResponse{Messages: []*machine.GenerateClientConfiguration{
		{Ca: bundle.Certs.OS.Crt, Crt: cert.Crt, Key: cert.Key, Talosconfig: text},
	}}, nil
}

// Reboot implements machine.MachineService.
func (s *Server) Reboot(context.Context, *machine.RebootRequest) (*machine.RebootResponse, error) {
	actor := uuid.NewString()
	log.Printf("reboot via API received. actor id: %s", actor)
	s.M.Reboot(actor, false)

	return &machine.RebootResponse{Messages: []*machine.Reboot{{ActorId: actor}}}, nil
}

// Shutdown implements machine.MachineService.
func (s *Server) Shutdown(context.Context, *machine.ShutdownRequest) (*machine.ShutdownResponse, error) {
	actor := uuid.NewString()
	log.Printf("shutdown via API received. actor id: %s", actor)
	s.M.Shutdown(actor)

	return &machine.ShutdownResponse{Messages: []*machine.Shutdown{{ActorId: actor}}}, nil
}

// Logs implements machine.MachineService; containers of Kubernetes are known by their name alone.
func (s *Server) Logs(req *machine.LogsRequest, stream machine.MachineService_LogsServer) error {
	id := req.GetId()
	if req.GetNamespace() != constants.SystemContainerdNamespace {
		id = containerName(id)
	}

	if !s.Store.Has(id) {
		return fmt.Errorf("log %q was not registered", req.GetId())
	}

	return s.Store.Of(id).Read(stream.Context(), int(req.GetTailLines()), req.GetFollow(), func(chunk []byte) error {
		return stream.Send(&common.Data{Bytes: chunk})
	})
}

// containerName is the container of `namespace/pod:container:id`, or the text itself.
func containerName(id string) string {
	parts := bytes.Split([]byte(id), []byte(":"))
	if len(parts) > 1 {
		return string(parts[1])
	}

	return id
}

// LogsContainers implements machine.MachineService.
func (s *Server) LogsContainers(context.Context, *emptypb.Empty) (*machine.LogsContainersResponse, error) {
	return &machine.LogsContainersResponse{Messages: []*machine.LogsContainer{{Ids: s.Store.IDs()}}}, nil
}
