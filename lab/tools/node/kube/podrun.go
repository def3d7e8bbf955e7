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
	// events counts the pod's Events, by the Event's name.
	events map[string]int
	// isTold is whether the status is reported: not before the pod has started to run.
	isTold bool
	// isStopping is set when the pod must end; nothing is started any more.
	isStopping bool

	// ctx ends when the pod must end; lived closes when nothing of it runs any more.
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

// update takes the API server's state of the pod: starts it, ends it, or corrects the status in the API.
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
		run.rt.queueStatus(run)
	}
}

func gracePeriod(p *pod) time.Duration {
	if p.Metadata.DeletionGracePeriodSeconds == nil {
		return 30 * time.Second
	}

	return time.Duration(*p.Metadata.DeletionGracePeriodSeconds) * time.Second
}

// live starts the pod and stops it when all its containers have terminated permanently.
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

// tell has the status reported from now on.
func (run *podRun) tell() {
	run.mu.Lock()
	run.isTold = true
	run.mu.Unlock()

	run.rt.queueStatus(run)
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

// remove ends the pod and deletes it from the API once nothing of it runs any more.
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

// forget ends a pod that no longer exists in the API.
func (run *podRun) forget() {
	run.mu.Lock()
	isStopping := run.isStopping
	run.mu.Unlock()

	if isStopping {
		return // remove is in progress, and drops the run
	}

	go func() {
		run.end(context.Background(), 0)
		run.rt.drop(run.uid)
	}()
}
