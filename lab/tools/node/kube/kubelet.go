package kube

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// kubelet is the part of a kubelet that a cluster sees: a Node with status and lease, and pods that come and go.
type kubelet struct {
	Options
	api *client
	// beat is when the lease was last renewed, in Unix nanoseconds.
	beat atomic.Int64
	pods podTable
	// nodeUID owns the mirror pods.
	nodeUID string
	// podCIDR is where pods get their addresses, once the controller manager gave it.
	podCIDR string
}

const (
	leaseEvery  = 10 * time.Second
	leaseTTL    = 40
	statusEvery = 60 * time.Second
)

// RunKubelet registers this machine as a Node and runs what is scheduled to it, until the context ends.
func RunKubelet(ctx context.Context, o Options) error {
	k := &kubelet{Options: o}

	o.Service("kubelet", true, false, "waiting for a client certificate")

	for ctx.Err() == nil {
		api, err := o.kubeletClient(ctx)
		if err == nil {
			k.api = api

			break
		}

		o.logf("kubelet", "client certificate: %v", err)
		sleep(ctx, 3*time.Second)
	}

	for ctx.Err() == nil {
		if err := k.register(ctx); err == nil {
			break
		} else {
			o.logf("kubelet", "register: %v", err)
			o.Service("kubelet", true, false, err.Error())
		}

		sleep(ctx, 3*time.Second)
	}

	var wg sync.WaitGroup

	wg.Go(func() { k.renewLease(ctx) })
	wg.Go(func() { k.reportStatus(ctx) })
	wg.Go(func() { k.watchPods(ctx) })
	wg.Go(func() { k.serve(ctx) })

	if o.isControlPlane() {
		wg.Go(func() { k.keepMirrorPods(ctx) })
	}

	wg.Wait()

	return ctx.Err()
}

// register makes the Node, or finds it made before a reboot.
func (k *kubelet) register(ctx context.Context) error {
	node := k.nodeObject()

	err := k.api.post(ctx, "/api/v1/nodes", node, nil)
	if isStatus(err, http.StatusConflict) {
		err = k.api.merge(ctx, "/api/v1/nodes/"+k.Hostname, object{"metadata": object{"labels": k.labels()}}, nil)
	}

	if err != nil {
		return err
	}

	return k.readNode(ctx)
}

// nodeView is what we need of our Node.
type nodeView struct {
	Metadata struct {
		UID string `json:"uid"`
	} `json:"metadata"`
	Spec struct {
		PodCIDR       string `json:"podCIDR"`
		Unschedulable bool   `json:"unschedulable"`
	} `json:"spec"`
	Status struct {
		Conditions []struct{ Type, Status string } `json:"conditions"`
	} `json:"status"`
}

func (k *kubelet) readNode(ctx context.Context) error {
	var node nodeView
	if err := k.api.get(ctx, "/api/v1/nodes/"+k.Hostname, &node); err != nil {
		return err
	}

	k.nodeUID, k.podCIDR = node.Metadata.UID, node.Spec.PodCIDR
	ready := false

	for _, c := range node.Status.Conditions {
		ready = ready || c.Type == "Ready" && c.Status == "True"
	}

	k.NodeReady(ready, node.Spec.Unschedulable)

	return nil
}

// renewLease is the node's heartbeat; without it the controller manager calls the node unreachable after 40 seconds.
func (k *kubelet) renewLease(ctx context.Context) {
	path := "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

	for ; ctx.Err() == nil; sleep(ctx, leaseEvery) {
		now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
		spec := object{"holderIdentity": k.Hostname, "leaseDurationSeconds": leaseTTL, "renewTime": now}

		err := k.api.merge(ctx, path+"/"+k.Hostname, object{"spec": spec}, nil)
		if isStatus(err, http.StatusNotFound) {
			owner := object{"apiVersion": "v1", "kind": "Node", "name": k.Hostname, "uid": k.nodeUID}
			err = k.api.post(ctx, path, object{
				"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
				"metadata": object{"name": k.Hostname, "namespace": "kube-node-lease", "ownerReferences": []any{owner}},
				"spec":     spec,
			}, nil)
		}

		if err != nil {
			k.logf("kubelet", "lease: %v", err)
		} else {
			k.beat.Store(time.Now().UnixNano())
		}

		k.Service("kubelet", true, k.isHealthy(), describe(err))
	}
}

func (k *kubelet) isHealthy() bool {
	return time.Since(time.Unix(0, k.beat.Load())) < leaseTTL*time.Second
}

func describe(err error) string {
	if err == nil {
		return ""
	}

	return err.Error()
}

// reportStatus says every minute how the machine is; more often until the node has its pod network.
func (k *kubelet) reportStatus(ctx context.Context) {
	for ctx.Err() == nil {
		err := k.api.merge(ctx, "/api/v1/nodes/"+k.Hostname+"/status", object{"status": k.nodeStatus()}, nil)
		if isStatus(err, http.StatusNotFound) {
			// Somebody deleted the Node: a kubelet registers again.
			err = k.register(ctx)
		}

		if err == nil {
			err = k.readNode(ctx)
		}

		if err != nil {
			k.logf("kubelet", "node status: %v", err)
		}

		if k.podCIDR == "" || err != nil {
			sleep(ctx, 3*time.Second)
		} else {
			sleep(ctx, statusEvery)
		}
	}
}

// serve answers /healthz on the kubelet's port.
func (k *kubelet) serve(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !k.isHealthy() {
			http.Error(w, "the lease was not renewed", http.StatusInternalServerError)

			return
		}

		fmt.Fprint(w, "ok") //nolint:errcheck
	})

	server := &http.Server{Addr: ":10250", Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	go func() {
		<-ctx.Done()
		server.Close() //nolint:errcheck
	}()

	crt, key := k.path("kubelet", "client.crt"), k.path("kubelet", "client.key")
	if _, err := os.Stat(crt); err != nil {
		return
	}

	if err := server.ListenAndServeTLS(crt, key); err != nil && ctx.Err() == nil {
		k.logf("kubelet", "port 10250: %v", err)
	}
}
