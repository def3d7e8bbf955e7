package api

import (
	"context"
	"fmt"
	"log"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type lifecycleService struct {
	machine.UnimplementedLifecycleServiceServer
	s *Server
}

// Install always finds an installed machine: NoCloud boots from its own disk image.
func (l *lifecycleService) Install(*machine.LifecycleServiceInstallRequest, grpc.ServerStreamingServer[machine.LifecycleServiceInstallResponse]) error {
	return status.Error(codes.AlreadyExists, "machine is already installed")
}

// Upgrade installs into the other boot slot while the machine keeps running; as in Talos, etcd is not checked here.
func (l *lifecycleService) Upgrade(
	req *machine.LifecycleServiceUpgradeRequest, stream grpc.ServerStreamingServer[machine.LifecycleServiceUpgradeResponse],
) error {
	if !l.s.installing.TryLock() {
		return status.Error(codes.FailedPrecondition, "another installation/upgrade is already in progress")
	}
	defer l.s.installing.Unlock()

	image := req.GetSource().GetImageName()
	if image == "" {
		return status.Error(codes.InvalidArgument, "installer image name is required")
	}

	log.Printf("starting upgrade: installer_image=%s", image)

	var gone error

	err := l.s.M.Install(stream.Context(), image, func(message string) {
		if gone == nil {
			gone = stream.Send(&machine.LifecycleServiceUpgradeResponse{Progress: &machine.LifecycleServiceInstallProgress{
				Response: &machine.LifecycleServiceInstallProgress_Message{Message: message},
			}})
		}
	})
	if gone != nil {
		return gone
	}

	code := int32(0)

	if err != nil { // an installer that fails is an answer, not an error of the call
		code = 1

		if err := stream.Send(&machine.LifecycleServiceUpgradeResponse{Progress: &machine.LifecycleServiceInstallProgress{
			Response: &machine.LifecycleServiceInstallProgress_Message{Message: fmt.Sprintf("installation failed: %v", err)},
		}}); err != nil {
			return err
		}
	}

	log.Printf("upgrade finished: exit_code=%d", code)

	return stream.Send(&machine.LifecycleServiceUpgradeResponse{Progress: &machine.LifecycleServiceInstallProgress{
		Response: &machine.LifecycleServiceInstallProgress_ExitCode{ExitCode: code},
	}})
}

type imageService struct {
	machine.UnimplementedImageServiceServer
	s *Server
}

// Pull fetches an image; the last message is its name.
func (i *imageService) Pull(req *machine.ImageServicePullRequest, stream grpc.ServerStreamingServer[machine.ImageServicePullResponse]) error {
	if req.GetImageRef() == "" {
		return status.Error(codes.InvalidArgument, "image reference is required")
	}

	name, err := i.s.M.Pull(stream.Context(), req.GetImageRef())
	if err != nil {
		return status.Errorf(codes.Internal, "failed to pull image %q: %v", req.GetImageRef(), err)
	}

	return stream.Send(&machine.ImageServicePullResponse{Response: &machine.ImageServicePullResponse_Name{Name: name}})
}

// ImagePull implements machine.MachineService, as clients before 1.13 call it.
func (s *Server) ImagePull(ctx context.Context, req *machine.ImagePullRequest) (*machine.ImagePullResponse, error) {
	if _, err := s.M.Pull(ctx, req.GetReference()); err != nil {
		return nil, status.Errorf(codes.Internal, "failed to pull image %q: %v", req.GetReference(), err)
	}

	return &machine.ImagePullResponse{Messages: []*machine.ImagePull{{}}}, nil
}
