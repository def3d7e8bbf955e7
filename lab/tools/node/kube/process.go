package kube

import (
	"context"
	"errors"
	"maps"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// process is a program of the control plane that is kept running.
type process struct {
	name  string
	image string
	// version is that of the configuration resource that requires it.
	version string
	args    map[string][]string
	env     map[string]string
	// port is where it answers /healthz on this machine; 0 for the API server.
	port int
	// files is the content of the files that it reads only when it starts.
	files string
}

// key changes when the process must be restarted.
func (p *process) key(secrets string) string {
	parts := append([]string{p.image, secrets, p.files}, flags(p.args)...)
	for _, name := range slices.Sorted(maps.Keys(p.env)) {
		parts = append(parts, name+"="+p.env[name])
	}

	return digest(parts...)
}

// supervise keeps a process running until the context ends, and reports when its readiness changes.
func (o *Options) supervise(ctx context.Context, p process, ready func(context.Context) error) {
	components := o.state().components
	restarts := 0

	for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, 30*time.Second) {
		started := time.Now()

		components.change(p.name, func(s *componentState) {
			*s = componentState{image: p.image, version: p.version, command: append([]string{"/usr/local/bin/" + p.name}, flags(p.args)...), started: started, restarts: restarts}
		})

		err := o.runOnce(ctx, p, ready)

		o.setReady(p.name, false)

		if ctx.Err() != nil {
			return
		}

		o.logf(p.name, "%s ended: %v; starting again", p.name, err)

		if time.Since(started) > time.Minute {
			pause = time.Second
		}

		restarts++

		sleep(ctx, pause)
	}
}

func (o *Options) setReady(name string, ready bool) {
	o.state().components.change(name, func(s *componentState) { s.ready = ready })
	o.StaticPod(o.staticPodName(name), ready)
}

func (o *Options) runOnce(ctx context.Context, p process, ready func(context.Context) error) error {
	binary, err := o.Pull(ctx, p.image)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// Pdeathsig is about the thread that started the process, and threads end: with a container's, that gave up its rights.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.CommandContext(ctx, binary)
	cmd.Args = append([]string{p.name}, flags(p.args)...)
	cmd.Stdout = o.Log(p.name)
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	// These programs keep more garbage than a machine of 2 GiB can spare.
	cmd.Env = []string{"PATH=/sbin:/bin", "GOGC=60", "HOME=/"}

	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}

	if err := cmd.Start(); err != nil {
		return err
	}

	watched := make(chan struct{})

	go func() {
		defer close(watched)

		o.watchReadiness(ctx, p.name, ready)
	}()

	err = cmd.Wait()

	cancel()
	<-watched

	if err == nil {
		return errors.New("it exited")
	}

	return err
}

// watchReadiness probes often until it is ready for the first time, then rarely: under emulation probes are expensive.
func (o *Options) watchReadiness(ctx context.Context, name string, ready func(context.Context) error) {
	var every time.Duration

	for last := false; ctx.Err() == nil; sleep(ctx, every) {
		probe, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := ready(probe)

		cancel()

		if ctx.Err() != nil {
			return
		}

		if isReady := err == nil; isReady != last {
			last = isReady
			o.setReady(name, isReady)

			if !isReady {
				o.logf(name, "not ready: %v", err)
			}
		}

		if every = 2 * time.Second; last {
			every = 10 * time.Second
		}
	}
}
