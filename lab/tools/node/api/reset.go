package api

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/google/uuid"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reset implements machine.MachineService.
func (s *Server) Reset(ctx context.Context, in *machine.ResetRequest) (*machine.ResetResponse, error) {
	actor := uuid.NewString()
	log.Printf("reset request received. actorID: %s", actor)

	o := ResetOptions{Graceful: in.GetGraceful(), Reboot: in.GetReboot(), UserDisks: in.GetUserDisksToWipe()}

	if len(o.UserDisks) > 0 {
		if in.GetMode() == machine.ResetRequest_SYSTEM_DISK {
			return nil, errors.New("reset failed: invalid input, wipe mode SYSTEM_DISK doesn't support UserDisksToWipe parameter")
		}

		if err := s.checkUserDisks(ctx, o.UserDisks); err != nil {
			return nil, err
		}
	}

	o.KeepSystem = in.GetMode() == machine.ResetRequest_USER_DISKS
	if o.KeepSystem && len(in.GetSystemPartitionsToWipe()) > 0 {
		return nil, errors.New("reset failed: invalid input, wipe mode USER_DISKS doesn't support SystemPartitionsToWipe parameter")
	}

	for _, spec := range in.GetSystemPartitionsToWipe() {
		volume, err := safe.StateGetByID[*block.VolumeStatus](ctx, s.State, spec.GetLabel())
		if err != nil {
			return nil, fmt.Errorf("failed to get volume status with label %q: %w", spec.GetLabel(), err)
		}

		if volume.TypedSpec().Location == "" {
			return nil, fmt.Errorf("failed to reset: volume %q is not located", spec.GetLabel())
		}

		if spec.GetWipe() {
			o.Labels = append(o.Labels, spec.GetLabel())
		}
	}

	s.M.Reset(actor, o)

	return &machine.ResetResponse{Messages: []*machine.Reset{{ActorId: actor}}}, nil
}

func (s *Server) checkUserDisks(ctx context.Context, paths []string) error {
	disks, err := safe.StateListAll[*block.Disk](ctx, s.State)
	if err != nil {
		return fmt.Errorf("listing disks failed: %w", err)
	}

	system, err := safe.StateGetByID[*block.SystemDisk](ctx, s.State, block.SystemDiskID)
	if err != nil {
		return fmt.Errorf("system disk lookup failed: %w", err)
	}

	for _, path := range paths {
		disk, ok := disks.Find(func(d *block.Disk) bool { return d.TypedSpec().DevPath == path })

		switch {
		case !ok:
			return fmt.Errorf("reset user disk failed: device %s wasn't found", path)
		case disk.TypedSpec().Readonly:
			return fmt.Errorf("reset user disk failed: device %s is readonly", path)
		case path == system.TypedSpec().DevPath:
			return fmt.Errorf("reset user disk failed: device %s is the system disk", path)
		}
	}

	return nil
}

// Rollback implements machine.MachineService.
func (s *Server) Rollback(context.Context, *machine.RollbackRequest) (*machine.RollbackResponse, error) {
	log.Print("rollback via API received")

	if err := s.M.Rollback(); err != nil {
		return nil, err
	}

	s.M.Reboot("", true)

	return &machine.RollbackResponse{Messages: []*machine.Rollback{{}}}, nil
}

// Upgrade implements machine.MachineService: the upgrade API of Talos before 1.13, which checks etcd itself.
func (s *Server) Upgrade(ctx context.Context, in *machine.UpgradeRequest) (*machine.UpgradeResponse, error) {
	if in.GetStage() {
		return nil, status.Error(codes.Unimplemented, "Upgrade: staged upgrades are not implemented")
	}

	if _, err := s.M.Pull(ctx, in.GetImage()); err != nil {
		return nil, fmt.Errorf("error validating installer image %q: %w", in.GetImage(), err)
	}

	if !in.GetForce() && !in.GetPreserve() && !s.maintenance() && s.M.Etcd() != nil {
		if err := s.M.Etcd().ValidateForUpgrade(ctx); err != nil {
			return nil, fmt.Errorf("error validating etcd for upgrade: %w", err)
		}
	}

	actor := uuid.NewString()
	s.M.UpgradeAndReboot(actor, in.GetImage())

	return &machine.UpgradeResponse{Messages: []*machine.Upgrade{{Ack: "Upgrade request received", ActorId: actor}}}, nil
}
