package api

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talosmith.dev/lab/tools/node/machineconfig"
)

const (
	withoutReboot = "Applied configuration without a reboot"
	withReboot    = "Applied configuration with a reboot"
	staged        = "Staged configuration to be applied after the next reboot"
)

// ApplyConfiguration implements machine.MachineService.
func (s *Server) ApplyConfiguration(ctx context.Context, in *machine.ApplyConfigurationRequest) (*machine.ApplyConfigurationResponse, error) {
	if !s.applying.TryLock() {
		return nil, status.Error(codes.FailedPrecondition, "another apply configuration is already in progress")
	}
	defer s.applying.Unlock()

	if s.rebooting {
		return nil, status.Error(codes.FailedPrecondition,
			"configuration was already applied and node is rebooting, cannot apply more configuration changes until next reboot")
	}

	maintenance := s.maintenance()
	if !maintenance && !Roles(ctx).Includes(role.Admin) {
		return nil, errNotAuthorized
	}

	if in.GetMode() != machine.ApplyConfigurationRequest_TRY {
		s.cancelTry()
	}

	cfg, warnings, err := machineconfig.Load(ctx, s.State, in.GetData())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	if !maintenance && cfg.RawV1Alpha1() == nil {
		return nil, status.Error(codes.InvalidArgument,
			"the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine config instead?")
	}

	mode, details, err := s.applyMode(in.GetMode(), cfg, maintenance)
	if err != nil {
		return nil, err
	}

	if in.GetDryRun() {
		diff, err := machineconfig.Diff(s.M.Config(), cfg)
		if err != nil {
			return nil, fmt.Errorf("failed to generate diff: %w", err)
		}

		brief, _, _ := strings.Cut(details, ":")

		return applied(&machine.ApplyConfiguration{Mode: mode, ModeDetails: fmt.Sprintf("Dry run summary:\n%s (skipped in dry-run).\n%s", brief, diff)}), nil
	}

	log.Printf("apply config request: mode %s", strings.ToLower(mode.String()))

	if mode == machine.ApplyConfigurationRequest_TRY {
		timeout := constants.ConfigTryTimeout
		if in.GetTryModeTimeout() != nil {
			timeout = in.GetTryModeTimeout().AsDuration()
		}

		details += fmt.Sprintf("\nThe config is applied in 'try' mode and will be automatically reverted back in %s", timeout)
		s.revertAfter(timeout)
	} else if err := s.M.Persist(cfg); err != nil {
		return nil, err
	}

	switch mode { //nolint:exhaustive // AUTO was resolved, STAGED is done
	case machine.ApplyConfigurationRequest_TRY, machine.ApplyConfigurationRequest_NO_REBOOT:
		if err := s.M.Activate(cfg); err != nil {
			return nil, err
		}
	case machine.ApplyConfigurationRequest_REBOOT:
		s.rebooting = true
		s.M.Reboot("", true)
	}

	return applied(&machine.ApplyConfiguration{Mode: mode, Warnings: warnings, ModeDetails: details}), nil
}

func applied(m *machine.ApplyConfiguration) *machine.ApplyConfigurationResponse {
	return &machine.ApplyConfigurationResponse{Messages: []*machine.ApplyConfiguration{m}}
}

// applyMode resolves the requested mode, and describes in words what it does.
func (s *Server) applyMode(
	requested machine.ApplyConfigurationRequest_Mode, cfg config.Provider, maintenance bool,
) (machine.ApplyConfigurationRequest_Mode, string, error) {
	if maintenance && requested == machine.ApplyConfigurationRequest_REBOOT {
		requested = machine.ApplyConfigurationRequest_NO_REBOOT
	}

	var needs error
	if !maintenance {
		needs = machineconfig.CanApplyNow(s.M.Config(), cfg)
	}

	switch requested {
	case machine.ApplyConfigurationRequest_TRY, machine.ApplyConfigurationRequest_NO_REBOOT:
		if needs != nil {
			return requested, "", status.Error(codes.InvalidArgument, needs.Error())
		}

		return requested, withoutReboot, nil
	case machine.ApplyConfigurationRequest_STAGED:
		return requested, staged, nil
	case machine.ApplyConfigurationRequest_AUTO:
		if needs != nil {
			return machine.ApplyConfigurationRequest_REBOOT, withReboot + ": " + needs.Error(), nil //nolint:nilerr // why it needs a reboot, which it gets
		}

		return machine.ApplyConfigurationRequest_NO_REBOOT, withoutReboot, nil
	case machine.ApplyConfigurationRequest_REBOOT:
		return requested, withReboot, nil
	default:
		return requested, "", fmt.Errorf("incorrect mode '%s' specified for the apply config call", requested)
	}
}

func (s *Server) cancelTry() {
	if s.tryRevert != nil {
		s.tryRevert()
		s.tryRevert = nil
	}
}

func (s *Server) revertAfter(timeout time.Duration) {
	s.cancelTry()

	before := s.M.Config()
	timer := time.AfterFunc(timeout, func() {
		log.Print("rolling back the configuration")

		if err := s.M.Activate(before); err != nil {
			log.Printf("config rollback failed: %v", err)
		}
	})

	s.tryRevert = func() { timer.Stop() }
}
