package machine

import (
	"context"
	"fmt"
	"log"
	"reflect"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	timeres "github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"

	"talosmith.dev/lab/tools/node/resources"
	"talosmith.dev/lab/tools/node/services"
)

func (m *Machine) sequence(name string, action machine.SequenceEvent_Action, actor string) {
	m.Events.Publish(&machine.SequenceEvent{Sequence: name, Action: action}, actor)
}

func (m *Machine) task(name string, action machine.TaskEvent_Action) { m.taskBy(name, action, "") }

func (m *Machine) taskBy(name string, action machine.TaskEvent_Action, actor string) {
	m.Events.Publish(&machine.TaskEvent{Task: name, Action: action}, actor)
}

func (m *Machine) setStage(stage runtime.MachineStage) { m.setStageBy(stage, "") }

func (m *Machine) setStageBy(stage runtime.MachineStage, actor string) {
	m.mu.Lock()
	m.stage = stage
	m.mu.Unlock()
	m.publishStatus(actor)
}

// kick has the status computed again soon.
func (m *Machine) kick() {
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

func (m *Machine) watchStatus(ctx context.Context) {
	for {
		m.publishStatus("")

		select {
		case <-ctx.Done():
			return
		case <-m.poke:
			time.Sleep(100 * time.Millisecond) // changes come in bursts
		}
	}
}

// publishStatus computes whether the machine is ready, and publishes it when that, or the stage, has changed.
func (m *Machine) publishStatus(actor string) {
	m.mu.Lock()
	stage := m.stage
	m.mu.Unlock()

	spec := runtime.MachineStatusSpec{Stage: stage, Status: runtime.MachineStatusStatus{Ready: true}}

	if stage == runtime.MachineStageBooting || stage == runtime.MachineStageRunning {
		for _, check := range []struct {
			name string
			f    func(context.Context) error
		}{{"time", m.checkTime}, {"network", m.checkNetwork}, {"services", m.checkServices}, {"staticPods", m.checkStaticPods}, {"nodeReady", m.checkNode}} {
			if err := check.f(context.Background()); err != nil {
				spec.Status.Ready = false
				spec.Status.UnmetConditions = append(spec.Status.UnmetConditions, runtime.UnmetCondition{Name: check.name, Reason: err.Error()})
			}
		}
	}

	m.mu.Lock()
	same := reflect.DeepEqual(spec, m.last)
	becameReady := !same && stage == runtime.MachineStageRunning && spec.Status.Ready
	m.last = spec
	m.mu.Unlock()

	if same {
		return
	}

	resources.Put(m.State, runtime.NewMachineStatus(), func(r *runtime.MachineStatus) { *r.TypedSpec() = spec })

	event := &machine.MachineStatusEvent{
		Stage: machine.MachineStatusEvent_MachineStage(stage), Status: &machine.MachineStatusEvent_MachineStatus{Ready: spec.Status.Ready},
	}
	for _, c := range spec.Status.UnmetConditions {
		event.Status.UnmetConditions = append(event.Status.UnmetConditions, &machine.MachineStatusEvent_MachineStatus_UnmetCondition{Name: c.Name, Reason: c.Reason})
	}

	m.Events.Publish(event, actor)

	if becameReady {
		log.Print("machine is running and ready")

		if _, trial := m.readMeta(metaUpgrade); trial { // the new version has booted successfully
			if err := m.writeMeta(metaUpgrade, ""); err != nil {
				log.Printf("forgetting the upgrade's fallback: %v", err)
			}
		}
	}
}

func (m *Machine) checkTime(ctx context.Context) error {
	status, err := safe.StateGetByID[*timeres.Status](ctx, m.State, timeres.StatusID)
	if err == nil && !status.TypedSpec().Synced {
		err = fmt.Errorf("time is not synced")
	}

	return err
}

func (m *Machine) checkNetwork(ctx context.Context) error {
	status, err := safe.StateGetByID[*network.Status](ctx, m.State, network.StatusID)
	if err != nil {
		return err
	}

	var waiting []string

	for _, c := range []struct {
		name  string
		ready bool
	}{
		{"address", status.TypedSpec().AddressReady}, {"connectivity", status.TypedSpec().ConnectivityReady},
		{"etc-files", status.TypedSpec().EtcFilesReady}, {"hostname", status.TypedSpec().HostnameReady},
	} {
		if !c.ready {
			waiting = append(waiting, c.name)
		}
	}

	if len(waiting) > 0 {
		return fmt.Errorf("waiting on: %s", strings.Join(waiting, ", "))
	}

	return nil
}

func (m *Machine) checkServices(ctx context.Context) error {
	list, err := safe.StateListAll[*v1alpha1.Service](ctx, m.State)
	if err != nil {
		return err
	}

	var problems []string

	running := map[string]bool{}

	for s := range list.All() {
		id := s.Metadata().ID()
		running[id] = s.TypedSpec().Running

		if !s.TypedSpec().Unknown && !s.TypedSpec().Healthy {
			problems = append(problems, id+" not healthy")
		}
	}

	required := []string{"apid", "machined", "kubelet"}
	if cfg := m.Config(); cfg != nil && cfg.Machine() != nil && cfg.Machine().Type().IsControlPlane() {
		required = append(required, "etcd", "trustd")
	}

	for _, id := range required {
		if !running[id] {
			problems = append(problems, id+" not running")
		}
	}

	if len(problems) > 0 {
		return fmt.Errorf("%s", strings.Join(problems, ", "))
	}

	return nil
}

func (m *Machine) checkStaticPods(ctx context.Context) error {
	list, err := safe.StateListAll[*k8s.StaticPodStatus](ctx, m.State)
	if err != nil {
		return err
	}

	var problems []string

	for p := range list.All() {
		if !podReady(p.TypedSpec().PodStatus) {
			problems = append(problems, p.Metadata().ID()+" not ready")
		}
	}

	if len(problems) > 0 {
		return fmt.Errorf("%s", strings.Join(problems, ", "))
	}

	return nil
}

func (m *Machine) checkNode(ctx context.Context) error {
	name, err := safe.StateGetByID[*k8s.Nodename](ctx, m.State, k8s.NodenameID)
	if err != nil {
		return nil //nolint:nilerr // no name yet: nothing to check
	}

	node := name.TypedSpec().Nodename

	status, err := safe.StateGetByID[*k8s.NodeStatus](ctx, m.State, node)
	if err != nil {
		return fmt.Errorf("node %q status is not available yet", node)
	}

	if !status.TypedSpec().NodeReady {
		return fmt.Errorf("node %q is not ready", node)
	}

	return nil
}

// publishService maintains the resource of a service, which exists while the service runs.
func (m *Machine) publishService(id string, e *machine.ServiceStateEvent) {
	service := v1alpha1.NewService(id)

	if e.GetAction() != services.Running {
		resources.Drop(m.State, service)

		return
	}

	resources.Put(m.State, service, func(r *v1alpha1.Service) {
		*r.TypedSpec() = v1alpha1.ServiceSpec{Running: true, Healthy: e.GetHealth().GetHealthy(), Unknown: e.GetHealth().GetUnknown()}
	})
}

// staticPod notes a control plane pod's readiness, in the form of a pod's status.
func (m *Machine) staticPod(name string, ready bool) {
	phase, condition := "Running", "True"
	if !ready {
		condition = "False"
	}

	resources.Put(m.State, k8s.NewStaticPodStatus(k8s.NamespaceName, name), func(r *k8s.StaticPodStatus) {
		r.TypedSpec().PodStatus = map[string]any{"phase": phase, "conditions": []any{map[string]any{"type": "Ready", "status": condition}}}
	})
	m.kick()
}

func podReady(status map[string]any) bool {
	conditions, _ := status["conditions"].([]any) // ours
	for _, c := range conditions {
		if one, ok := c.(map[string]any); ok && one["type"] == "Ready" {
			return one["status"] == "True"
		}
	}

	return false
}

func (m *Machine) nodeReady(ready, unschedulable bool) {
	name := m.Hostname()

	resources.Put(m.State, k8s.NewNodeStatus(k8s.NamespaceName, name), func(r *k8s.NodeStatus) {
		*r.TypedSpec() = k8s.NodeStatusSpec{Nodename: name, NodeReady: ready, Unschedulable: unschedulable}
	})
	m.kick()
}
