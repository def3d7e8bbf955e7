package kube

import (
	"context"
	"net/http"
	"time"
)

const (
	leaseEvery   = 10 * time.Second
	leaseSeconds = 40
)

// renewLease is the node's heartbeat; without it the controller manager calls the node unreachable after 50 seconds.
func (k *kubelet) renewLease(ctx context.Context) {
	for ; ctx.Err() == nil; sleep(ctx, leaseEvery) {
		renewal, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := k.renewOnce(renewal)

		cancel()

		message := ""

		if err == nil {
			k.beat.Store(time.Now().UnixNano())
		} else if ctx.Err() == nil {
			message = "lease: " + err.Error()
			k.logf("kubelet", "%s", message)
		}

		if ctx.Err() == nil {
			k.Service("kubelet", true, k.isHealthy(), message)
		}
	}
}

func (k *kubelet) renewOnce(ctx context.Context) error {
	const path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

	spec := object{
		"holderIdentity": k.Hostname, "leaseDurationSeconds": leaseSeconds,
		"renewTime": time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"),
	}

	err := k.api.merge(ctx, path+"/"+k.Hostname, object{"spec": spec}, nil)
	if !isStatus(err, http.StatusNotFound) {
		return err
	}

	owner := object{"apiVersion": "v1", "kind": "Node", "name": k.Hostname, "uid": k.view().Metadata.UID}

	return k.api.post(ctx, path, object{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": object{"name": k.Hostname, "namespace": "kube-node-lease", "ownerReferences": []any{owner}},
		"spec":     spec,
	}, nil)
}

func (k *kubelet) isHealthy() bool {
	return time.Since(time.Unix(0, k.beat.Load())) < leaseSeconds*time.Second
}
