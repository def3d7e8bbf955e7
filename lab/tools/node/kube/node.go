package kube

import (
	"context"
	"net/http"
	"runtime"
	"time"
)

// nodeView is what we need of our Node.
type nodeView struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		PodCIDR       string  `json:"podCIDR"`
		Unschedulable bool    `json:"unschedulable"`
		Taints        []taint `json:"taints"`
	} `json:"spec"`
	Status struct {
		Conditions []podCondition `json:"conditions"`
	} `json:"status"`
}

type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
	// TimeAdded is of the controllers' taints.
	TimeAdded string `json:"timeAdded,omitempty"`
}

func (k *kubelet) view() nodeView {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.node
}

// defaultLabels are the labels that every kubelet gives its Node.
func (k *kubelet) defaultLabels() map[string]string {
	return map[string]string{
		"kubernetes.io/hostname": k.Hostname, "kubernetes.io/os": runtime.GOOS, "kubernetes.io/arch": runtime.GOARCH,
		"beta.kubernetes.io/os": runtime.GOOS, "beta.kubernetes.io/arch": runtime.GOARCH,
	}
}

// register creates the Node, or finds the existing one.
func (k *kubelet) register(ctx context.Context) error {
	const path = "/api/v1/nodes"

	options := k.newest()
	spec := object{}

	// A kubelet may taint its Node only when it creates it.
	if taints := options.nodeTaints(); len(taints) > 0 {
		spec["taints"] = taints
	}

	var node nodeView

	err := k.api.post(ctx, path, object{
		"apiVersion": "v1", "kind": "Node",
		"metadata": object{
			"name": k.Hostname, "labels": k.defaultLabels(),
			"annotations": object{"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		},
		"spec": spec, "status": k.nodeStatus(),
	}, &node)
	if isStatus(err, http.StatusConflict) {
		err = k.api.merge(ctx, path+"/"+k.Hostname, object{"metadata": object{"labels": k.defaultLabels()}}, &node)
	}

	if err != nil {
		return err
	}

	k.observe(node)

	return nil
}

// observe takes the API server's state of our Node.
func (k *kubelet) observe(node nodeView) {
	k.mu.Lock()
	before := k.node
	k.node = node
	k.mu.Unlock()

	if before.Spec.PodCIDR != node.Spec.PodCIDR {
		k.rt.setPodCIDR(node.Spec.PodCIDR)
		k.refreshSoon()
	}

	ready := false
	for _, c := range node.Status.Conditions {
		ready = ready || c.Type == "Ready" && c.Status == "True"
	}

	if report := [2]bool{ready, node.Spec.Unschedulable}; k.reported == nil || *k.reported != report {
		k.reported = &report
		k.NodeReady(ready, node.Spec.Unschedulable)
	}
}

func (k *kubelet) refreshSoon() {
	select {
	case k.refresh <- struct{}{}:
	default:
	}
}

func (k *kubelet) watchNode(ctx context.Context) {
	again := func() {
		k.persist(ctx, "register", func() error { return k.register(ctx) })
		k.refreshSoon()
	}

	follow(ctx, k.api, watched[nodeView]{
		path: "/api/v1/nodes", selector: "metadata.name=" + k.Hostname,
		listed: func(all []nodeView) {
			if len(all) == 0 {
				again()
			}

			for _, node := range all {
				k.observe(node)
			}
		},
		changed: k.observe,
		// The Node was deleted: a kubelet registers again.
		deleted: func(nodeView) { again() },
		failed:  func(err error) { k.logf("kubelet", "watch node: %v", err) },
	})
}

// statusEvery is how often the status is reported when nothing changes; the lease is the heartbeat.
const statusEvery = 60 * time.Second

// reportStatus reports the machine's status: at once when it changes, otherwise every minute. It also keeps Talos' labels,
// annotations and taints on the Node.
func (k *kubelet) reportStatus(ctx context.Context) {
	var told nodeFacts

	for last := (time.Time{}); ctx.Err() == nil; {
		if facts := k.facts(); facts != told || time.Since(last) > statusEvery {
			err := k.api.patchStatus(ctx, "/api/v1/nodes/"+k.Hostname, object{"status": k.nodeStatus()})
			if err == nil {
				err = k.applyNode(ctx)
			}

			if err != nil && ctx.Err() == nil && !isStatus(err, http.StatusConflict) {
				k.logf("kubelet", "node: %v", err)
			}

			// Forbidden stays forbidden: a kubelet may not set every label on its Node.
			if err == nil || isStatus(err, http.StatusForbidden) {
				told, last = facts, time.Now()
			}
		}

		select {
		case <-ctx.Done():
		case <-k.refresh:
		case <-time.After(2 * time.Second):
		}
	}
}
