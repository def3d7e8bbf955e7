// Package services holds the states, health and recent events of the machine's services, as `talosctl service` shows them.
package services

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// State is where a service is in its life.
type State = machine.ServiceStateEvent_Action

// The states, under the names that talosctl prints.
const (
	Initialized = machine.ServiceStateEvent_INITIALIZED
	Preparing   = machine.ServiceStateEvent_PREPARING
	Waiting     = machine.ServiceStateEvent_WAITING
	Running     = machine.ServiceStateEvent_RUNNING
	Stopping    = machine.ServiceStateEvent_STOPPING
	Finished    = machine.ServiceStateEvent_FINISHED
	Failed      = machine.ServiceStateEvent_FAILED
	Skipped     = machine.ServiceStateEvent_SKIPPED
)

var names = map[State]string{
	Initialized: "Initialized", Preparing: "Preparing", Waiting: "Waiting", Running: "Running", Stopping: "Stopping",
	Finished: "Finished", Failed: "Failed", Skipped: "Skipped",
}

const keptEvents = 64

type event struct {
	state   State
	message string
	at      time.Time
}

// Controls are what an API caller may do to a service; nil means that the service does not support it.
type Controls struct {
	Start, Stop func(context.Context) error
}

type service struct {
	controls Controls
	state    State
	events   []event
	// checked: the service has a health check at all; unknown: there is no result yet.
	unknown, healthy bool
	message          string
	changed          time.Time
}

// Registry is the set of services of this machine.
type Registry struct {
	mu       sync.Mutex
	services map[string]*service
	notify   func(id string, e *machine.ServiceStateEvent)
	waiters  chan struct{}
}

// New returns an empty registry; notify is called, without any lock held, after every change.
func New(notify func(id string, e *machine.ServiceStateEvent)) *Registry {
	return &Registry{services: map[string]*service{}, notify: notify, waiters: make(chan struct{})}
}

// Register adds a service, or gives an existing one other controls.
func (r *Registry) Register(id string, controls Controls) {
	r.mu.Lock()
	s, ok := r.services[id]

	if !ok {
		s = &service{unknown: true, changed: time.Now()}
		r.services[id] = s
	}

	s.controls = controls
	r.mu.Unlock()
}

// Remove forgets a service.
func (r *Registry) Remove(id string) {
	r.mu.Lock()
	delete(r.services, id)
	r.mu.Unlock()
}

// Set changes a service's state and records why.
func (r *Registry) Set(id string, state State, format string, args ...any) {
	r.update(id, func(s *service) bool {
		message := fmt.Sprintf(format, args...)
		if s.state == state && len(s.events) > 0 && s.events[len(s.events)-1].message == message {
			return false
		}

		if state != Running || s.state != Running {
			s.unknown, s.healthy, s.message, s.changed = true, false, "", time.Now()
		}

		s.state = state
		s.note(message)

		return true
	})
}

// SetHealth records the result of a service's health check.
func (r *Registry) SetHealth(id string, healthy bool, message string) {
	r.update(id, func(s *service) bool {
		if !s.unknown && s.healthy == healthy && s.message == message {
			return false
		}

		turned := s.unknown || s.healthy != healthy
		s.unknown, s.healthy, s.message, s.changed = false, healthy, message, time.Now()

		switch {
		case turned && healthy:
			s.note("Health check successful")
		case turned:
			s.note("Health check failed: " + message)
		}

		return true
	})
}

func (s *service) note(message string) {
	s.events = append(s.events, event{state: s.state, message: message, at: time.Now()})
	if len(s.events) > keptEvents {
		s.events = s.events[1:]
	}
}

func (r *Registry) update(id string, change func(*service) bool) {
	r.mu.Lock()

	s, ok := r.services[id]
	if !ok || !change(s) {
		r.mu.Unlock()

		return
	}

	e := &machine.ServiceStateEvent{Service: id, Action: s.state, Message: s.events[len(s.events)-1].message, Health: s.health()}

	close(r.waiters)
	r.waiters = make(chan struct{})
	r.mu.Unlock()

	r.notify(id, e)
}

func (s *service) health() *machine.ServiceHealth {
	return &machine.ServiceHealth{Unknown: s.unknown, Healthy: s.healthy, LastMessage: s.message, LastChange: timestamppb.New(s.changed)}
}

// List returns all services as the API shows them.
func (r *Registry) List() []*machine.ServiceInfo {
	r.mu.Lock()
	defer r.mu.Unlock()

	var list []*machine.ServiceInfo

	for _, id := range slices.Sorted(maps.Keys(r.services)) {
		s := r.services[id]
		info := &machine.ServiceInfo{Id: id, State: names[s.state], Health: s.health(), Events: &machine.ServiceEvents{}}

		for _, e := range s.events {
			info.Events.Events = append(info.Events.Events, &machine.ServiceEvent{Msg: e.message, State: names[e.state], Ts: timestamppb.New(e.at)})
		}

		list = append(list, info)
	}

	return list
}

// State returns a service's state and health; unknown health counts as healthy only for services that have no check.
func (r *Registry) State(id string) (state State, healthy, unknown, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	s, ok := r.services[id]
	if !ok {
		return 0, false, false, false
	}

	return s.state, s.healthy, s.unknown, true
}

// Up tells whether a service runs and, when it has a health check, is healthy.
func (r *Registry) Up(id string) bool {
	state, healthy, unknown, ok := r.State(id)

	return ok && ((state == Running && (healthy || unknown)) || state == Finished || state == Skipped)
}

// AllUp names the services that are not up.
func (r *Registry) AllUp() (waiting []string) {
	r.mu.Lock()
	ids := slices.Sorted(maps.Keys(r.services))
	r.mu.Unlock()

	for _, id := range ids {
		if !r.Up(id) {
			waiting = append(waiting, id)
		}
	}

	return waiting
}

// Changed is closed at the next change of any service.
func (r *Registry) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.waiters
}

// Start starts a service for an API caller.
func (r *Registry) Start(ctx context.Context, id string) error {
	return r.control(ctx, id, "start", func(c Controls) func(context.Context) error { return c.Start })
}

// Stop stops a service for an API caller.
func (r *Registry) Stop(ctx context.Context, id string) error {
	return r.control(ctx, id, "stop", func(c Controls) func(context.Context) error { return c.Stop })
}

// Restart stops and starts a service for an API caller.
func (r *Registry) Restart(ctx context.Context, id string) error {
	r.mu.Lock()
	s, ok := r.services[id]
	r.mu.Unlock()

	if ok && s.controls.Start == nil {
		return status.Errorf(codes.Unknown, "service %q doesn't support restart operation via API", id)
	}

	if err := r.control(ctx, id, "restart", func(c Controls) func(context.Context) error { return c.Stop }); err != nil {
		return err
	}

	return r.control(ctx, id, "restart", func(c Controls) func(context.Context) error { return c.Start })
}

func (r *Registry) control(ctx context.Context, id, verb string, pick func(Controls) func(context.Context) error) error {
	r.mu.Lock()
	s, ok := r.services[id]
	r.mu.Unlock()

	if !ok {
		return status.Errorf(codes.NotFound, "service %q is not defined", id)
	}

	do := pick(s.controls)
	if do == nil {
		return status.Errorf(codes.Unknown, "service %q doesn't support %s operation via API", id, verb)
	}

	return do(ctx)
}
