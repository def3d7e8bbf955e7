package kube

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// containerRun is one container of a pod on this machine.
type containerRun struct {
	run    *podRun
	spec   *container
	isInit bool
	image  knownImage

	mu       sync.Mutex
	state    containerState
	last     containerState
	restarts int
	// runs counts starts since this machine's boot; with restarts it makes the container's ID.
	runs    int
	id      string
	sandbox *sandbox
	// isUnready is set for a control plane program that runs and does not serve.
	isUnready bool
}

func newContainerRun(run *podRun, spec *container, isInit bool, shown []containerStatus) *containerRun {
	c := &containerRun{run: run, spec: spec, isInit: isInit, image: knownImages[repositoryOf(spec.Image)]}
	c.state.Waiting = &stateWaiting{Reason: "ContainerCreating"}

	if len(run.pod.Spec.InitContainers) > 0 && !isInit {
		c.state.Waiting.Reason = "PodInitializing"
	}

	for _, s := range shown {
		// The machine has rebooted since: what ran then was killed with it.
		if s.Name == spec.Name && s.ContainerID != "" {
			c.restarts = s.RestartCount + 1
			c.last = s.State

			if s.State.Running != nil {
				c.last = containerState{Terminated: &stateTerminated{
					ExitCode: 255, Reason: "Unknown", StartedAt: s.State.Running.StartedAt, FinishedAt: stamp(time.Now()), ContainerID: s.ContainerID,
				}}
			}
		}
	}

	return c
}

func (c *containerRun) isSidecar() bool { return c.isInit && c.spec.RestartPolicy == "Always" }

func (c *containerRun) hasRun() bool {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.runs > 0 || c.last.Terminated != nil
}

func (c *containerRun) now() containerState {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.state
}

// report is the container's status.
func (c *containerRun) report() containerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()

	started := c.state.Running != nil
	s := containerStatus{
		Name: c.spec.Name, State: c.state, LastState: c.last, RestartCount: c.restarts, Image: c.spec.Image,
		ContainerID: c.id, Started: &started, Ready: started && !c.isUnready,
	}

	if c.isInit && !c.isSidecar() {
		s.Ready = c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
	}

	if c.id != "" {
		s.ImageID = repositoryOf(c.spec.Image) + "@sha256:" + digest(c.spec.Image) + digest(c.spec.Image, "")
	}

	return s
}

func (c *containerRun) set(edit func()) {
	c.mu.Lock()
	edit()
	c.mu.Unlock()

	c.run.tell()
}

func (c *containerRun) wait(reason, message string) {
	c.set(func() { c.state = containerState{Waiting: &stateWaiting{Reason: reason, Message: message}} })
}

// policy is what happens when the container ends.
func (c *containerRun) policy() string {
	if c.isSidecar() {
		return "Always"
	}

	policy := c.run.snapshot().Spec.RestartPolicy
	if c.isInit && policy == "Always" {
		return "OnFailure"
	}

	return policy
}

// keepRunning runs the container as often as its restart policy requires, until the pod ends.
func (c *containerRun) keepRunning() {
	for pause := 10 * time.Second; ; pause = min(2*pause, 5*time.Minute) {
		ended, ok := c.runInstance()
		if !ok {
			return // the pod goes
		}

		policy := c.policy()

		c.set(func() { c.state = containerState{Terminated: ended} })

		if policy == "Never" || policy == "OnFailure" && ended.ExitCode == 0 {
			return
		}

		sleep(c.run.ctx, time.Second)

		c.set(func() {
			c.last = containerState{Terminated: ended}
			c.state = containerState{Waiting: &stateWaiting{
				Reason:  "CrashLoopBackOff",
				Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", pause, c.spec.Name, c.run.name()),
			}}
		})

		sleep(c.run.ctx, pause)

		c.set(func() { c.restarts++ })
	}
}

// runOnce runs an init container; false: the pod cannot go on.
func (c *containerRun) runOnce() bool {
	if c.image.program == nil {
		now := stamp(time.Now())

		c.set(func() {
			c.begin()
			c.state = containerState{Terminated: &stateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now, ContainerID: c.id}}
		})

		return c.run.ctx.Err() == nil
	}

	c.keepRunning()

	state := c.now()

	return c.run.ctx.Err() == nil && state.Terminated != nil && state.Terminated.ExitCode == 0
}

// begin counts a start and names it; c.mu is held.
func (c *containerRun) begin() {
	c.runs++
	c.id = "containerd://" + digest(c.run.uid, c.spec.Name, fmt.Sprint(c.restarts), c.run.rt.BootID) + digest(c.run.uid, fmt.Sprint(c.runs))
}

// runInstance runs the container once; false: the pod must end.
func (c *containerRun) runInstance() (*stateTerminated, bool) {
	if c.image.program == nil {
		c.set(func() {
			c.begin()
			c.state = containerState{Running: &stateRunning{StartedAt: stamp(time.Now())}}
		})

		if c.image.whileRunning != nil {
			c.image.whileRunning(c.run.ctx, c)
		}

		<-c.run.ctx.Done()

		return nil, false
	}

	program, ok := c.pull()
	if !ok {
		return nil, false
	}

	box, err := c.prepare(program)
	if err == nil {
		err = box.start()
	}

	started := time.Now()

	if err != nil {
		if box != nil {
			box.remove()
		}

		if c.run.ctx.Err() != nil {
			return nil, false
		}

		c.set(c.begin)
		c.run.event("Warning", "Failed", "Error: "+err.Error())

		return &stateTerminated{
			ExitCode: 128, Reason: "StartError", Message: err.Error(), StartedAt: stamp(started), FinishedAt: stamp(started), ContainerID: c.id,
		}, true
	}

	c.set(func() {
		c.begin()
		c.sandbox = box
		c.state = containerState{Running: &stateRunning{StartedAt: stamp(started)}}
	})

	if c.run.ctx.Err() != nil {
		box.kill()
	}

	code, signal := box.wait()

	c.set(func() { c.sandbox = nil })

	if c.run.ctx.Err() != nil {
		return nil, false
	}

	ended := &stateTerminated{
		ExitCode: code, Signal: signal, Reason: "Completed", StartedAt: stamp(started), FinishedAt: stamp(time.Now()), ContainerID: c.id,
	}

	if code != 0 {
		ended.Reason = "Error"

		if c.spec.TerminationMessagePolicy == "FallbackToLogsOnError" {
			ended.Message = tail(c.logFile(), 2048)
		}
	}

	return ended, true
}

// pull gets the container's program, retrying until it succeeds; false: the pod must end.
func (c *containerRun) pull() (program, bool) {
	for pause := 10 * time.Second; ; pause = min(2*pause, 5*time.Minute) {
		found, err := c.image.program(c.run.ctx, c)
		if err == nil {
			return found, true
		}

		if c.run.ctx.Err() != nil {
			return program{}, false
		}

		message := fmt.Sprintf("Failed to pull image %q: %v", c.spec.Image, err)

		c.run.event("Warning", "Failed", message)
		c.wait("ErrImagePull", message)
		sleep(c.run.ctx, pause/2)
		c.wait("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: %v", c.spec.Image, err))
		sleep(c.run.ctx, pause/2)
	}
}

// stop ends the container's process, with SIGKILL after the grace period.
func (c *containerRun) stop(ctx context.Context, grace time.Duration) {
	c.mu.Lock()
	box := c.sandbox
	c.mu.Unlock()

	if box != nil {
		box.stop(ctx, grace)
	}
}

// repositoryOf is an image reference without tag and digest, with the registry that is meant when none is named.
func repositoryOf(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if colon := strings.LastIndex(ref, ":"); colon > strings.LastIndex(ref, "/") {
		ref = ref[:colon]
	}

	first, _, hasPath := strings.Cut(ref, "/")

	switch {
	case !hasPath:
		return "docker.io/library/" + ref
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		return "docker.io/" + ref
	default:
		return ref
	}
}
