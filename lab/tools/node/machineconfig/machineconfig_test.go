package machineconfig_test

import (
	"context"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"

	"talosmith.dev/lab/tools/node/machineconfig"
	"talosmith.dev/lab/tools/node/resources"
)

func generated(t *testing.T, kubernetes string) config.Provider {
	t.Helper()

	in, err := generate.NewInput("home", "https://10.0.0.1:6443", kubernetes)
	if err != nil {
		t.Fatal(err)
	}

	cfg, err := in.Config(machine.TypeControlPlane)
	if err != nil {
		t.Fatal(err)
	}

	return cfg
}

func load(t *testing.T, data []byte) (config.Provider, error) {
	t.Helper()

	st, err := resources.New(context.Background())
	if err != nil {
		t.Fatal(err)
	}

	cfg, _, err := machineconfig.Load(context.Background(), st, data)

	return cfg, err
}

func TestLoadIsStrict(t *testing.T) {
	good, err := generated(t, "1.36.3").Bytes()
	if err != nil {
		t.Fatal(err)
	}

	cfg, err := load(t, good)
	if err != nil || !machineconfig.Complete(cfg) {
		t.Fatalf("%v", err)
	}

	for name, data := range map[string]string{
		"unknown key":  strings.Replace(string(good), "machine:\n", "machine:\n    typo: 1\n", 1),
		"unknown kind": string(good) + "---\napiVersion: v1alpha1\nkind: NoSuchConfig\n",
		"empty":        "",
	} {
		if _, err := load(t, []byte(data)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}

	tooNew, err := generated(t, "1.99.0").Bytes()
	if err != nil {
		t.Fatal(err)
	}

	if _, err := load(t, tooNew); err == nil {
		t.Error("a Kubernetes version that is too new: accepted")
	}

	partial, err := load(t, []byte("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\nauto: off\n"))
	if err != nil || machineconfig.Complete(partial) {
		t.Errorf("a partial config is accepted and keeps the machine in maintenance: %v", err)
	}
}

func TestWhatNeedsAReboot(t *testing.T) {
	base := generated(t, "1.36.3")

	patched := func(patch func(*v1alpha1.Config) error) config.Provider {
		cfg, err := base.PatchV1Alpha1(patch)
		if err != nil {
			t.Fatal(err)
		}

		return cfg
	}

	now := patched(func(c *v1alpha1.Config) error {
		c.ClusterConfig.ClusterName = "other"
		c.MachineConfig.MachineNodeLabels = map[string]string{"a": "b"}

		return nil
	})
	if err := machineconfig.CanApplyNow(base, now); err != nil {
		t.Errorf("labels and the cluster section apply live: %v", err)
	}

	later := patched(func(c *v1alpha1.Config) error {
		c.MachineConfig.MachineType = "worker"

		return nil
	})
	if err := machineconfig.CanApplyNow(base, later); err == nil || !strings.Contains(err.Error(), "immediate mode") {
		t.Errorf("another machine type: %v", err)
	}

	if diff, err := machineconfig.Diff(base, base); err != nil || diff != "Config diff:\n\nNo changes." {
		t.Errorf("%q, %v", diff, err)
	}

	if diff, err := machineconfig.Diff(base, now); err != nil || !strings.Contains(diff, "+") {
		t.Errorf("%q, %v", diff, err)
	}

	if diff, err := machineconfig.Diff(nil, now); err != nil || !strings.Contains(diff, "+") {
		t.Errorf("%q, %v", diff, err)
	}
}
