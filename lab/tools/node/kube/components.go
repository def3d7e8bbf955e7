package kube

import (
	"slices"
	"sync"
	"time"
)

// Names of the control plane's programs, in the order in which they are started.
const (
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
)

// componentState is how one program of the control plane is.
type componentState struct {
	image   string
	command []string
	// version is that of the configuration resource it was started for.
	version  string
	ready    bool
	started  time.Time
	restarts int
}

// componentTable is what the kubelet shows as static pods.
type componentTable struct {
	mu    sync.Mutex
	all   map[string]componentState
	watch []chan struct{}
}

func newComponentTable() *componentTable {
	return &componentTable{all: map[string]componentState{}}
}

// change edits a component's state and wakes who watches, when it differs then.
func (t *componentTable) change(name string, edit func(*componentState)) {
	t.mu.Lock()
	defer t.mu.Unlock()

	before, known := t.all[name]
	after := before
	edit(&after)

	if known && before.image == after.image && before.version == after.version && before.ready == after.ready && before.restarts == after.restarts &&
		before.started.Equal(after.started) && slices.Equal(before.command, after.command) {
		return
	}

	t.all[name] = after
	t.wake()
}

func (t *componentTable) remove(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()

	delete(t.all, name)
	t.wake()
}

func (t *componentTable) wake() {
	for _, c := range t.watch {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (t *componentTable) get() map[string]componentState {
	t.mu.Lock()
	defer t.mu.Unlock()

	all := make(map[string]componentState, len(t.all))
	for name, state := range t.all {
		all[name] = state
	}

	return all
}

// changes gives a channel that gets a value after every change, until stop is called.
func (t *componentTable) changes() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)

	t.mu.Lock()
	defer t.mu.Unlock()

	t.watch = append(t.watch, c)

	return c, func() {
		t.mu.Lock()
		defer t.mu.Unlock()

		t.watch = slices.DeleteFunc(t.watch, func(other chan struct{}) bool { return other == c })
	}
}
