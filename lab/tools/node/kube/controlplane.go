package kube

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RunControlPlane runs kube-apiserver, kube-controller-manager and kube-scheduler until the context ends, and
// applies the cluster's first objects once the API answers. A newer machine config restarts only what it changes.
func RunControlPlane(ctx context.Context, o Options) error {
	o = o.newest()

	if err := o.waitForEtcd(ctx); err != nil {
		return err
	}

	c := &controlPlane{Options: o, running: map[string]*supervised{}, etcd: o.EtcdEndpoint}
	if err := c.apply(ctx); err != nil {
		return err
	}

	go o.keepObjects(ctx)

	for ctx.Err() == nil {
		sleep(ctx, time.Second)

		if next := o.newest(); next.Config != c.Config {
			c.Options = next
			if err := c.apply(ctx); err != nil {
				o.logf(apiServer, "the new machine config is not used: %v", err)
			}
		}
	}

	for _, s := range c.running {
		s.wait()
	}

	return ctx.Err()
}

// controlPlane is the running processes, and their machine config.
type controlPlane struct {
	Options
	running map[string]*supervised
	etcd    string
	// secrets is the digest of what the certificates on disk were made of.
	secrets string
}

// supervised is a process that is kept running until it is stopped.
type supervised struct {
	key    string
	cancel context.CancelFunc
	done   chan struct{}
}

func (s *supervised) wait() {
	s.cancel()
	<-s.done
}

// apply makes files and processes match the machine config.
func (c *controlPlane) apply(ctx context.Context) error {
	if secrets := c.secretsDigest(); secrets != c.secrets {
		if err := c.writePKI(); err != nil {
			return err
		}

		c.secrets = secrets
	}

	wanted, err := c.processes()
	if err != nil {
		return err
	}

	admin, err := c.adminClient()
	if err != nil {
		return err
	}

	for _, name := range []string{apiServer, controllerManager, scheduler} {
		p, isWanted := wanted[name]
		old := c.running[name]

		if isWanted && old != nil && old.key == p.key(c.secrets) {
			continue
		}

		if old != nil {
			old.wait()
			delete(c.running, name)
		}

		if !isWanted {
			c.state().components.remove(name)

			continue
		}

		c.start(ctx, p, admin)
	}

	return nil
}

func (c *controlPlane) start(ctx context.Context, p process, admin *client) {
	ctx, cancel := context.WithCancel(ctx)
	s := &supervised{key: p.key(c.secrets), cancel: cancel, done: make(chan struct{})}
	c.running[p.name] = s
	options := c.Options

	go func() {
		defer close(s.done)

		if p.name == apiServer {
			options.startInTurn(ctx, p, admin)

			return
		}

		// Before the API answers, these only fail and waste CPU time.
		if waitReady(ctx, admin) == nil {
			options.supervise(ctx, p, localHealth(p.port))
		}
	}()
}

// processes returns the programs that the machine config requires, and writes the files that they read.
func (c *controlPlane) processes() (map[string]process, error) {
	cluster, machine := c.Config.Cluster(), c.Config.Machine()

	files, err := c.writePolicies()
	if err != nil {
		return nil, err
	}

	all := map[string]process{
		apiServer: {
			name: apiServer, image: cluster.APIServer().Image(), args: c.apiServerArgs(), env: cluster.APIServer().Env(),
			files: files["api"],
		},
	}

	if !machine.Controlplane().ControllerManager().Disabled() {
		all[controllerManager] = process{
			name: controllerManager, image: cluster.ControllerManager().Image(), args: c.controllerManagerArgs(),
			env: cluster.ControllerManager().Env(), port: 10257,
		}
	}

	if !machine.Controlplane().Scheduler().Disabled() {
		all[scheduler] = process{
			name: scheduler, image: cluster.Scheduler().Image(), args: c.schedulerArgs(), env: cluster.Scheduler().Env(),
			port: 10259, files: files["scheduler"],
		}
	}

	if c.ConfigVersion != nil {
		for name, p := range all {
			p.version = c.ConfigVersion(name, c.Config)
			all[name] = p
		}
	}

	return all, nil
}

// waitReady waits until the API server reports ready.
func waitReady(ctx context.Context, c *client) error {
	for {
		probe, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := c.ready(probe)

		cancel()

		if err == nil {
			return nil
		}

		if ctx.Err() != nil {
			return ctx.Err()
		}

		sleep(ctx, 2*time.Second)
	}
}

// waitForEtcd waits until something listens at the etcd endpoint: starting the API server is expensive.
func (o *Options) waitForEtcd(ctx context.Context) error {
	endpoint, err := url.Parse(o.EtcdEndpoint)
	if err != nil {
		return err
	}

	for ctx.Err() == nil {
		conn, err := net.DialTimeout("tcp", endpoint.Host, 5*time.Second)
		if err == nil {
			return conn.Close()
		}

		sleep(ctx, time.Second)
	}

	return ctx.Err()
}

func (o *Options) adminClient() (*client, error) {
	crt, key, err := issue(o.Config.Cluster().IssuingCA(), subject{name: "talos:admin", organization: []string{"system:masters"}})
	if err != nil {
		return nil, err
	}

	return newClient([]string{o.localServer()}, o.acceptedCAs(), crt, key)
}

// localHealth queries /healthz of a program on this machine, which needs no authentication.
func localHealth(port int) func(ctx context.Context) error {
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // this machine's own
		MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
	}
	asker := &http.Client{Transport: transport}

	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:"+strconv.Itoa(port)+"/healthz", nil)
		if err != nil {
			return err
		}

		response, err := asker.Do(request)
		if err != nil {
			return err
		}

		defer response.Body.Close()

		text, _ := io.ReadAll(io.LimitReader(response.Body, 500)) // only for the message

		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", response.Status, text)
		}

		return nil
	}
}

// digest is a digest of lists of texts.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))

	return hex.EncodeToString(sum[:16])
}
