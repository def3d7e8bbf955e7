package kube

import (
	"context"
	"sync"
	"time"
)

// podRuntime runs this machine's pods. It outlives the kubelet, as containers outlive theirs.
type podRuntime struct {
	Options
	addresses *addressTable
	drivers   *driverTable

	mu      sync.Mutex
	runs    map[string]*podRun
	podCIDR string
	api     *client
	// dirty are the pods whose status may have to be reported; wake gets a value when there is one.
	dirty map[string]*podRun
	wake  chan struct{}
}

func newPodRuntime(o Options) *podRuntime {
	return &podRuntime{
		Options: o, addresses: newAddressTable(), drivers: newDriverTable(), runs: map[string]*podRun{}, dirty: map[string]*podRun{},
		wake: make(chan struct{}, 1),
	}
}

// attach gives the runtime the access of the kubelet that now runs.
func (r *podRuntime) attach(api *client) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.api = api
}

// client waits until there is a kubelet with access to the API.
func (r *podRuntime) client(ctx context.Context) (*client, error) {
	for {
		r.mu.Lock()
		api := r.api
		r.mu.Unlock()

		if api != nil || ctx.Err() != nil {
			return api, ctx.Err()
		}

		sleep(ctx, 500*time.Millisecond)
	}
}

func (r *podRuntime) setPodCIDR(cidr string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.podCIDR = cidr
}

func (r *podRuntime) network() string {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.podCIDR
}

// update takes the API server's state of a pod.
func (r *podRuntime) update(p pod) {
	if p.isMirror() {
		return // keepStaticPods writes these
	}

	r.mu.Lock()
	run, known := r.runs[p.Metadata.UID]

	if !known {
		run = newPodRun(r, p)
		r.runs[p.Metadata.UID] = run
	}

	r.mu.Unlock()

	run.update(p, !known)
}

// replace takes the whole list of pods: runs whose pod is not in it end.
func (r *podRuntime) replace(all []pod) {
	present := map[string]bool{}

	for _, p := range all {
		present[p.Metadata.UID] = true
		r.update(p)
	}

	r.mu.Lock()

	var gone []*podRun

	for uid, run := range r.runs {
		if !present[uid] {
			gone = append(gone, run)
		}
	}

	r.mu.Unlock()

	for _, run := range gone {
		run.forget()
	}
}

// gone is called when a pod was deleted from the API.
func (r *podRuntime) gone(p pod) {
	r.mu.Lock()
	run := r.runs[p.Metadata.UID]
	r.mu.Unlock()

	if run != nil {
		run.forget()
	}
}

func (r *podRuntime) drop(uid string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.runs, uid)
	delete(r.dirty, uid)
	r.addresses.release(uid)
}

// find gives a pod's run by its name.
func (r *podRuntime) find(namespace, name string) *podRun {
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, run := range r.runs {
		if p := run.snapshot(); p.Metadata.Namespace == namespace && p.Metadata.Name == name {
			return run
		}
	}

	return nil
}

// hasNetwork tells whether a pod runs here that installs a pod network: one that mounts the folder of CNI's configuration.
func (r *podRuntime) hasNetwork() bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, run := range r.runs {
		if run.installsNetwork() {
			return true
		}
	}

	return false
}

// queueStatus has publish look at the pod's status.
func (r *podRuntime) queueStatus(run *podRun) {
	r.mu.Lock()
	r.dirty[run.uid] = run
	r.mu.Unlock()

	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *podRuntime) takeDirty() []*podRun {
	r.mu.Lock()
	defer r.mu.Unlock()

	all := make([]*podRun, 0, len(r.dirty))
	for _, run := range r.dirty {
		all = append(all, run)
	}

	clear(r.dirty)

	return all
}

// publish reports the pods' status to the API server, whenever it changes or differs from the one in the API.
func (r *podRuntime) publish(ctx context.Context, api *client) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}

		failed := false

		for _, run := range r.takeDirty() {
			if err := run.publish(ctx, api); err != nil && ctx.Err() == nil {
				r.logf("kubelet", "status of pod %s: %v", run.name(), err)
				r.queueStatus(run)

				failed = true
			}
		}

		if failed {
			sleep(ctx, 2*time.Second)
		}
	}
}

// StopPods ends every container of this machine and removes its pods' mounts, as before a shutdown.
func StopPods(ctx context.Context, o Options) {
	r := o.state().runtime

	r.mu.Lock()

	all := make([]*podRun, 0, len(r.runs))
	for _, run := range r.runs {
		all = append(all, run)
	}

	r.mu.Unlock()

	var wg sync.WaitGroup

	for _, run := range all {
		wg.Go(func() { run.end(ctx, 10*time.Second) })
	}

	wg.Wait()
}
