package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"

	"talosmith.dev/lab/tools/node/api"
	"talosmith.dev/lab/tools/node/images"
	"talosmith.dev/lab/tools/node/services"
	"talosmith.dev/lab/tools/node/slots"
	"talosmith.dev/lab/tools/node/trustd"
)

// begin records that the machine is ending; only the first of several sequences continues.
func (m *Machine) begin(sequence string, stage runtime.MachineStage, actor string) bool {
	m.mu.Lock()
	first := !m.ending
	m.ending = true
	m.mu.Unlock()

	if !first {
		log.Printf("%s: another sequence is in progress", sequence)

		return false
	}

	m.sequence(sequence, machine.SequenceEvent_START, actor)
	m.setStageBy(stage, actor)

	return true
}

// stopServices ends everything in the order in which it was needed.
func (m *Machine) stopServices(actor string) {
	m.taskBy("stopAllServices", machine.TaskEvent_START, actor)

	for _, step := range []struct {
		name  string
		group *group
		limit time.Duration
	}{{"shared addresses", m.vips, 10 * time.Second}, {"kubelet", m.kubelet, 30 * time.Second}, {"Kubernetes", m.kube, 30 * time.Second}, {"services", m.others, 40 * time.Second}} {
		if err := step.group.Stop(step.limit); err != nil {
			log.Printf("stopping %s: %v", step.name, err)
		}
	}

	m.taskBy("stopAllServices", machine.TaskEvent_STOP, actor)
}

// settle gives clients a moment to read the last events.
func settle() { time.Sleep(time.Second) }

// Reboot implements api.Machine.
func (m *Machine) Reboot(actor string, _ bool) {
	go func() {
		if m.begin("reboot", runtime.MachineStageRebooting, actor) {
			settle()
			m.stopServices(actor)
			m.end(m.o.Host.Reboot)
		}
	}()
}

// Shutdown implements api.Machine.
func (m *Machine) Shutdown(actor string) {
	go func() {
		if m.begin("shutdown", runtime.MachineStageShuttingDown, actor) {
			m.stopServices(actor)
			settle()
			m.end(m.o.Host.PowerOff)
		}
	}()
}

func (m *Machine) end(how func() error) {
	m.o.Host.Unmount()

	if err := how(); err != nil {
		log.Printf("rebooting or powering off failed: %v", err)
	}
}

// fail ends a boot that cannot continue: it reverts to the old version if this one is new, and always reboots.
func (m *Machine) fail(err error) {
	// The texts of Talos: internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_controller.go (Run) and main.go (handle).
	log.Print("boot sequence: failed")
	log.Printf("fatal sequencer error in \"boot\" sequence: error running phase 1 in boot sequence: %v", err)

	m.Events.Publish(&machine.SequenceEvent{Sequence: "boot", Action: machine.SequenceEvent_NOOP, Error: &common.Error{Code: common.Code_FATAL, Message: err.Error()}}, "")

	if previous, ok := m.readMeta(metaUpgrade); ok {
		log.Printf("reverting to %s", previous)

		if err := m.activate(previous); err != nil {
			log.Printf("revert failed: %v", err)
		}
	}

	wait := 35 * time.Second
	if m.o.Image.Broken {
		wait = 5 * time.Second
	}

	log.Printf("rebooting in %d seconds", int(wait.Seconds()))
	time.Sleep(wait)
	m.Reboot("", true)
}

// activate makes a slot the one to boot, and removes the record of an unconfirmed upgrade.
func (m *Machine) activate(slot string) error {
	err := m.o.Host.ESP(func(e slots.ESP) error { return e.Activate(slot) })

	return errors.Join(err, m.writeMeta(metaUpgrade, ""))
}

// Reset implements api.Machine.
func (m *Machine) Reset(actor string, o api.ResetOptions) {
	go func() {
		if !m.begin("reset", runtime.MachineStageResetting, actor) {
			return
		}

		if err := m.reset(actor, o); err != nil {
			log.Printf("reset failed: %v", err)
			m.Events.Publish(&machine.SequenceEvent{Sequence: "reset", Action: machine.SequenceEvent_STOP, Error: &common.Error{Code: common.Code_FATAL, Message: err.Error()}}, actor)
			m.mu.Lock()
			m.ending = false
			m.mu.Unlock()
			m.setStage(runtime.MachineStageRunning)
		}
	}()
}

func (m *Machine) reset(actor string, o api.ResetOptions) error {
	if e := m.Etcd(); o.Graceful && e != nil {
		if err := m.vips.Stop(10 * time.Second); err != nil { // they live in etcd
			log.Printf("stopping shared addresses: %v", err)
		}

		m.taskBy("leaveEtcd", machine.TaskEvent_START, actor)

		ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
		defer cancel()

		if err := e.Leave(ctx); err != nil {
			return fmt.Errorf("leaving etcd: %w", err)
		}

		m.taskBy("leaveEtcd", machine.TaskEvent_STOP, actor)
	}

	m.mu.Lock()
	d := m.discovery
	m.mu.Unlock()

	m.stopServices(actor)

	if d != nil {
		d.Goodbye()
	}

	if err := m.o.Host.Wipe(o); err != nil {
		log.Printf("wiping: %v", err)
	}

	settle()

	if o.Reboot {
		m.end(m.o.Host.Reboot)
	} else {
		m.end(m.o.Host.PowerOff)
	}

	return nil
}

// Install implements api.Machine.
func (m *Machine) Install(ctx context.Context, ref string, progress func(string)) error {
	r, err := images.Parse(ref)
	if err != nil {
		return err
	}

	if !r.IsInstaller() {
		return fmt.Errorf("%s is not an installer image", ref)
	}

	if err := m.images.Check(ctx, r); err != nil {
		return err
	}

	progress("running Talos installer " + r.Tag)

	err = m.o.Host.ESP(func(e slots.ESP) error {
		if err := e.Adopt(m.o.Image.Slot()); err != nil {
			return err
		}

		slot := images.Slot(r.Tag, r.Name)

		progress("installing the boot slot Talos-" + slot + ".efi")

		if err := e.Install(slot, m.o.Image.Slot(), func(w io.Writer) error { return m.images.UKI(ctx, r, w) }); err != nil {
			return err
		}

		return e.Activate(slot)
	})
	if err != nil {
		return err
	}

	if err := m.writeMeta(metaUpgrade, m.o.Image.Slot()); err != nil {
		return err
	}

	progress("installation of " + r.Tag + " complete")

	return nil
}

// UpgradeAndReboot implements api.Machine.
func (m *Machine) UpgradeAndReboot(actor, ref string) {
	go func() {
		if !m.begin("upgrade", runtime.MachineStageUpgrading, actor) {
			return
		}

		if err := m.Install(context.Background(), ref, func(line string) { log.Print(line) }); err != nil {
			log.Printf("upgrade failed: %v", err)
			m.Events.Publish(&machine.SequenceEvent{Sequence: "upgrade", Action: machine.SequenceEvent_STOP, Error: &common.Error{Code: common.Code_FATAL, Message: err.Error()}}, actor)
			m.mu.Lock()
			m.ending = false
			m.mu.Unlock()
			m.setStage(runtime.MachineStageRunning)

			return
		}

		m.setStageBy(runtime.MachineStageRebooting, actor)
		settle()
		m.stopServices(actor)
		m.end(m.o.Host.Reboot)
	}()
}

// Rollback implements api.Machine.
func (m *Machine) Rollback() error {
	err := m.o.Host.ESP(func(e slots.ESP) error {
		for _, slot := range e.Installed() {
			if slot != m.o.Image.Slot() {
				return e.Activate(slot)
			}
		}

		return errors.New("no other image is installed")
	})
	if err != nil {
		return err
	}

	return m.writeMeta(metaUpgrade, "")
}

// Pull implements api.Machine.
func (m *Machine) Pull(ctx context.Context, ref string) (string, error) {
	r, err := images.Parse(ref)
	if err != nil {
		return "", err
	}

	switch {
	case r.IsInstaller():
		return ref, m.images.Check(ctx, r)
	case slices.Contains([]string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}, r.Name):
		_, err := m.images.Binary(ctx, ref)

		return ref, err
	default:
		return "", fmt.Errorf("%s: not found (the lab has no such image)", ref)
	}
}

func (m *Machine) serviceChanged(id string, e *machine.ServiceStateEvent) {
	m.Events.Publish(e, "")
	m.publishService(id, e)
	fmt.Fprintf(m.Store.Writer("machined"), "service[%s](%s): %s\n", id, stateName(e.GetAction()), e.GetMessage()) // in memory

	if id == "apid" || id == trustd.ID { // parts of this program, with no log of their own
		fmt.Fprintf(m.Store.Writer(id), "%s: %s\n", stateName(e.GetAction()), e.GetMessage()) // in memory
	}

	m.kick()
}

func stateName(s services.State) string { return s.String() }
