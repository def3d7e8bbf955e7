package services_test

import (
	"context"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"

	"talosmith.dev/lab/tools/node/services"
)

func TestStatesAndHealth(t *testing.T) {
	var messages []string

	r := services.New(func(id string, e *machine.ServiceStateEvent) { messages = append(messages, id+" "+e.GetMessage()) })
	r.Register("etcd", services.Controls{})
	r.Set("etcd", services.Preparing, "Running pre state")
	r.Set("etcd", services.Running, "Started task etcd (PID %d)", 7)
	r.SetHealth("etcd", false, "no leader")
	r.SetHealth("etcd", false, "no leader")
	r.SetHealth("etcd", true, "")

	if len(messages) != 4 {
		t.Errorf("an unchanged health is no event: %v", messages)
	}

	info := r.List()[0]
	if info.GetState() != "Running" || !info.GetHealth().GetHealthy() || len(info.GetEvents().GetEvents()) != 4 {
		t.Errorf("%v", info)
	}

	r.Set("etcd", services.Stopping, "Sending SIGTERM")

	if r.Up("etcd") || len(r.AllUp()) != 1 {
		t.Error("a stopping service is not up")
	}
}

func TestControls(t *testing.T) {
	r := services.New(func(string, *machine.ServiceStateEvent) {})
	r.Register("apid", services.Controls{})

	if err := r.Stop(context.Background(), "apid"); err == nil {
		t.Error("apid cannot be stopped")
	}

	stopped := false
	r.Register("etcd", services.Controls{Stop: func(context.Context) error {
		stopped = true

		return nil
	}})

	if err := r.Restart(context.Background(), "etcd"); err == nil || stopped {
		t.Errorf("etcd cannot be restarted, and is not stopped for it: %v, %v", err, stopped)
	}

	if err := r.Start(context.Background(), "etcd"); err == nil || !strings.Contains(err.Error(), "doesn't support start operation via API") {
		t.Errorf("etcd cannot be started: %v", err)
	}

	if err := r.Start(context.Background(), "nope"); err == nil {
		t.Error("an unknown service cannot be started")
	}
}
