package kube

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// kubelet implements what a cluster observes of a kubelet: a Node with status and lease, and its pods.
type kubelet struct {
	Options
	api *client
	rt  *podRuntime
	// beat is when the lease was last renewed, in Unix nanoseconds.
	beat atomic.Int64
	// refresh gets a value when the node's status must be reported at once.
	refresh chan struct{}

	mu   sync.Mutex
	node nodeView
	// reported is what NodeReady was last called with: ready, unschedulable.
	reported *[2]bool
}

// RunKubelet registers this machine as a Node and runs what is scheduled to it, until the context ends. The pods go on
// meanwhile, and a later RunKubelet finds them.
func RunKubelet(ctx context.Context, o Options) error {
	o = o.newest()
	k := &kubelet{Options: o, rt: o.state().runtime, refresh: make(chan struct{}, 1)}

	o.Service("kubelet", true, false, "waiting for a client certificate")

	k.persist(ctx, "client certificate", func() (err error) {
		k.api, err = o.kubeletClient(ctx)

		return err
	})

	k.persist(ctx, "register", func() error { return k.register(ctx) })

	if ctx.Err() != nil {
		return ctx.Err()
	}

	k.rt.attach(k.api)

	var wg sync.WaitGroup

	for _, part := range []func(context.Context){k.renewLease, k.watchNode, k.reportStatus, k.watchPods, k.serve, k.keepAttached} {
		wg.Go(func() { part(ctx) })
	}

	wg.Go(func() { k.rt.publish(ctx, k.api) })
	wg.Go(func() { k.rt.keepDrivers(ctx) })

	if o.isControlPlane() {
		wg.Go(func() { k.keepStaticPods(ctx) })
	}

	wg.Wait()

	return ctx.Err()
}

// persist tries until it succeeds or the context ends.
func (k *kubelet) persist(ctx context.Context, what string, try func() error) {
	for told := ""; ctx.Err() == nil; sleep(ctx, 2*time.Second) {
		err := try()
		if err == nil || ctx.Err() != nil {
			return
		}

		if message := what + ": " + err.Error(); message != told {
			told = message
			k.logf("kubelet", "%s", message)
			k.Service("kubelet", true, k.isHealthy(), message)
		}
	}
}

// keepAttached discovers further API servers, and requests a new certificate before the old one expires.
func (k *kubelet) keepAttached(ctx context.Context) {
	for ; ctx.Err() == nil; sleep(ctx, time.Minute) {
		if err := k.learnServers(ctx, k.api); err != nil && ctx.Err() == nil && !isStatus(err, http.StatusForbidden) {
			k.logf("kubelet", "control planes: %v", err)
		}
	}
}

func (k *kubelet) watchPods(ctx context.Context) {
	follow(ctx, k.api, watched[pod]{
		path: "/api/v1/pods", selector: "spec.nodeName=" + k.Hostname,
		listed: k.rt.replace, changed: k.rt.update, deleted: k.rt.gone,
		failed: func(err error) { k.logf("kubelet", "watch pods: %v", err) },
	})
}
