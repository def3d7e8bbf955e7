// Package machineconfig loads and checks machine configs with Talos' own packages, and tells whether a change of them needs a reboot.
package machineconfig

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configdiff"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
)

// Cloud is the runtime mode of a NoCloud machine: installed by its disk image, not in a container.
type Cloud struct{}

func (Cloud) String() string        { return "cloud" }
func (Cloud) RequiresInstall() bool { return false }
func (Cloud) InContainer() bool     { return false }

// Load reads a config and checks it as the machine itself would; the warnings are those shown to the user.
func Load(ctx context.Context, st state.State, data []byte) (config.Provider, []string, error) {
	cfg, err := configloader.NewFromBytes(data)
	if err != nil {
		return nil, nil, err
	}

	warnings, err := cfg.Validate(Cloud{})
	if err != nil {
		return nil, nil, err
	}

	more, err := cfg.RuntimeValidate(ctx, st, Cloud{})
	if err != nil {
		return nil, nil, err
	}

	return cfg, append(warnings, more...), nil
}

// Complete tells whether a machine can boot with this config: false for none, and for one without the main document.
func Complete(cfg config.Provider) bool { return cfg != nil && cfg.CompleteForBoot() }

// Diff is the answer of a dry run.
func Diff(from, to config.Provider) (string, error) {
	var old config.Container
	if from != nil {
		old = from
	}

	diff, err := configdiff.DiffConfigs(old, to)
	if err != nil {
		return "", err
	}

	if diff == "" {
		diff = "No changes."
	}

	return "Config diff:\n\n" + diff, nil
}

// CanApplyNow returns why a change of the main document needs a reboot, nil when it needs none.
// Everything outside the main document, the cluster section and the listed parts of the machine section apply live.
func CanApplyNow(from, to config.Provider) error {
	if from == nil {
		return errors.New("no current config")
	}

	current, next := from.RawV1Alpha1(), to.RawV1Alpha1()
	if current == nil {
		return errors.New("current config is not v1alpha1")
	}

	if next == nil {
		return errors.New("new config is not v1alpha1")
	}

	next = next.DeepCopy()
	next.ConfigDebug, next.ClusterConfig = current.ConfigDebug, current.ClusterConfig

	if now, was := next.MachineConfig, current.MachineConfig; now != nil && was != nil {
		for _, field := range []string{
			"MachineCA", "MachineAcceptedCAs", "MachineTime", "MachineCertSANs", "MachineInstall", "MachineNetwork", "MachineSysfs", "MachineSysctls", "MachineLogging",
			"MachineControlPlane", "MachineKubelet", "MachineKernel", "MachineRegistries", "MachinePods", "MachineSeccompProfiles", "MachineNodeAnnotations",
			"MachineNodeLabels", "MachineNodeTaints",
		} {
			same(now, was, field)
		}

		if now.MachineFeatures != nil && was.MachineFeatures != nil {
			for _, field := range []string{
				"KubernetesTalosAPIAccessConfig", "KubePrismSupport", "HostDNSSupport", "ImageCacheSupport", "FeatureNodeAddressSortAlgorithm",
			} {
				same(now.MachineFeatures, was.MachineFeatures, field)
			}
		}
	}

	if reflect.DeepEqual(current, next) {
		return nil
	}

	diff, err := configdiff.DiffConfigs(container.NewV1Alpha1(current), container.NewV1Alpha1(next))
	if err != nil {
		return fmt.Errorf("error calculating diff: %w", err)
	}

	return fmt.Errorf("this config change can't be applied in immediate mode\ndiff:\n%s", diff)
}

// same copies one field, so that a difference in it does not count. An unknown name panics: the tests touch every one.
func same(to, from any, field string) {
	reflect.ValueOf(to).Elem().FieldByName(field).Set(reflect.ValueOf(from).Elem().FieldByName(field))
}
