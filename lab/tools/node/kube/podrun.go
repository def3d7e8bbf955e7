package kube

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// podRun is one pod's life on this machine.
type podRun struct {
	rt  *podRuntime
	uid string

	mu         sync.Mutex
	pod        pod
	address    string
	startTime  time.Time
	containers []*containerRun
	// volumes are the folders of the pod's volumes by name; mounts is what is mounted for them.
	volumes map[string]string
	mounts  []string
	// events counts what was told of the pod, by the Event's name.
	events map[string]int
	// isTold is whether the status is worth telling: not before something of the pod is under way.
	isTold bool
	// isStopping is set when the pod is to go; nothing is started any more.
	isStopping bool

	// ctx ends when the pod is to go; lived closes when nothing of it runs any more.
	ctx    context.Context
	cancel context.CancelFunc
	lived  chan struct{}
}

func newPodRun(rt *podRuntime, p pod) *podRun {
	ctx, cancel := context.WithCancel(context.Background())
	run := &podRun{rt: rt, uid: p.Metadata.UID, pod: p, ctx: ctx, cancel: cancel, lived: make(chan struct{}), startTime: time.Now(), volumes: map[string]string{}, events: map[string]int{}}

	for i := range p.Spec.InitContainers {
		run.containers = append(run.containers, newContainerRun(run, &p.Spec.InitContainers[i], true, p.Status.InitContainerStatuses))
	}

	for i := range p.Spec.Containers {
		run.containers = append(run.containers, newContainerRun(run, &p.Spec.Containers[i], false, p.Status.ContainerStatuses))
	}

	return run
}

func (run *podRun) snapshot() pod {
	run.mu.Lock()
	defer run.mu.Unlock()

	return run.pod
}

func (run *podRun) name() string {
	p := run.snapshot()

	return p.Metadata.Namespace + "/" + p.Metadata.Name
}

// update takes what the API server shows: starts the pod, lets it end, or corrects the status that is shown.
func (run *podRun) update(p pod, isNew bool) {
	run.mu.Lock()
	run.pod = p
	isStopping := run.isStopping

	if p.Metadata.DeletionTimestamp != nil {
		run.isStopping = true
	}

	run.mu.Unlock()

	if isNew {
		switch {
		case p.hasEnded() || p.Metadata.DeletionTimestamp != nil:
			close(run.lived)
		default:
			go run.live()
		}
	}

	switch {
	case p.Metadata.DeletionTimestamp != nil && !isStopping:
		go run.remove(gracePeriod(&p))
	case !p.hasEnded():
		run.rt.mark(run)
	}
}

func gracePeriod(p *pod) time.Duration {
	if p.Metadata.DeletionGracePeriodSeconds == nil {
		return 30 * time.Second
	}

	return time.Duration(*p.Metadata.DeletionGracePeriodSeconds) * time.Second
}

// live brings the pod up and, when all its containers have ended for good, down again.
func (run *podRun) live() {
	defer close(run.lived)

	defer run.cleanUp()

	if !run.findAddress() || !run.mountVolumes() {
		return
	}

	for _, c := range run.containers {
		if c.isInit && !c.isSidecar() {
			if !c.runOnce() {
				run.tell()

				return
			}
		}
	}

	var wg sync.WaitGroup

	for _, c := range run.containers {
		if !c.isInit || c.isSidecar() {
			wg.Go(c.keepRunning)
		}
	}

	wg.Wait()
	run.tell()
}

// tell makes the status worth telling and has it told.
func (run *podRun) tell() {
	run.mu.Lock()
	run.isTold = true
	run.mu.Unlock()

	run.rt.mark(run)
}

func (run *podRun) findAddress() bool {
	p := run.snapshot()

	for run.ctx.Err() == nil {
		address, err := run.rt.Address, error(nil)
		if !p.Spec.HostNetwork {
			address, err = run.rt.addresses.take(run.uid, p.Status.PodIP, run.rt.network())
		}

		if err == nil {
			run.mu.Lock()
			run.address = address.String()

			if started, err := time.Parse(time.RFC3339, p.Status.StartTime); err == nil {
				run.startTime = started
			}

			run.mu.Unlock()

			return true
		}

		sleep(run.ctx, 2*time.Second)
	}

	return false
}

// installsNetwork tells whether the pod has the folder of CNI's configuration, and runs.
func (run *podRun) installsNetwork() bool {
	run.mu.Lock()
	defer run.mu.Unlock()

	return run.address != "" && !run.isStopping && slices.ContainsFunc(run.pod.Spec.Volumes, func(v volume) bool {
		return v.HostPath != nil && strings.HasPrefix(v.HostPath.Path, "/etc/cni")
	})
}

// end stops what runs and waits until it is gone.
func (run *podRun) end(ctx context.Context, grace time.Duration) {
	run.mu.Lock()
	run.isStopping = true
	run.mu.Unlock()

	run.cancel()

	var wg sync.WaitGroup

	for _, c := range run.containers {
		wg.Go(func() { c.stop(ctx, grace) })
	}

	wg.Wait()

	select {
	case <-run.lived:
	case <-ctx.Done():
	}
}

// remove ends the pod and tells the API server that nothing of it runs any more.
func (run *podRun) remove(grace time.Duration) {
	run.end(context.Background(), grace)

	p := run.snapshot()
	options := object{
		"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": object{"uid": run.uid},
	}

	for {
		api, _ := run.rt.client(context.Background()) // never ends

		err := api.do(context.Background(), http.MethodDelete, p.path(), jsonType, options, nil)
		if err == nil || isStatus(err, http.StatusNotFound) || isStatus(err, http.StatusConflict) {
			break
		}

		run.rt.logf("kubelet", "delete pod %s: %v", run.name(), err)
		sleep(context.Background(), 2*time.Second)
	}

	run.rt.drop(run.uid)
}

// forget ends a pod that is no more in the API.
func (run *podRun) forget() {
	run.mu.Lock()
	isStopping := run.isStopping
	run.mu.Unlock()

	if isStopping {
		return // remove is at it, and drops the run
	}

	go func() {
		run.end(context.Background(), 0)
		run.rt.drop(run.uid)
	}()
}
