package kube

import (
	"context"
	"errors"
	"os/exec"
	"sort"
	"syscall"
	"time"
)

// process is a program of the control plane that is kept running.
type process struct {
	name  string
	image string
	args  map[string]string
	// ready asks whether it serves.
	ready func(ctx context.Context) error
}

// supervise keeps a process running until the context ends, and says when its readiness changes.
func (o *Options) supervise(ctx context.Context, p process) {
	for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, 30*time.Second) {
		started := time.Now()
		err := o.runOnce(ctx, p)

		o.StaticPod(o.staticPodName(p.name), false)

		if ctx.Err() != nil {
			return
		}

		o.logf(p.name, "%s ended: %v; starting again", p.name, err)

		if time.Since(started) > time.Minute {
			pause = time.Second
		}

		sleep(ctx, pause)
	}
}

func (o *Options) runOnce(ctx context.Context, p process) error {
	binary, err := o.Pull(ctx, p.image)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	cmd := exec.CommandContext(ctx, binary)
	cmd.Args = append([]string{p.name}, flags(p.args)...)
	cmd.Stdout = o.Log(p.name)
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	// These programs keep more garbage than a machine of 2 GiB can spare.
	cmd.Env = []string{"PATH=/sbin:/bin", "GOGC=60", "HOME=/"}

	if err := cmd.Start(); err != nil {
		return err
	}

	go o.watchReadiness(ctx, p)

	if err := cmd.Wait(); err != nil {
		return err
	}

	return errors.New("it exited")
}

// watchReadiness asks often until it is ready for the first time, then rarely: under emulation asking is dear.
func (o *Options) watchReadiness(ctx context.Context, p process) {
	every := 2 * time.Second

	for last := false; ctx.Err() == nil; sleep(ctx, every) {
		asked, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := p.ready(asked)

		cancel()

		if ctx.Err() != nil {
			return
		}

		if ready := err == nil; ready != last {
			last = ready
			o.StaticPod(o.staticPodName(p.name), ready)

			if !ready {
				o.logf(p.name, "not ready: %v", err)
			}
		}

		if last {
			every = 10 * time.Second
		}
	}
}

func flags(args map[string]string) []string {
	all := make([]string, 0, len(args))
	for key, value := range args {
		all = append(all, "--"+key+"="+value)
	}

	sort.Strings(all)

	return all
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
