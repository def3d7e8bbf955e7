package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

// pod is what we need of a Pod.
type pod struct {
	Metadata struct {
		Name              string            `json:"name"`
		Namespace         string            `json:"namespace"`
		UID               string            `json:"uid"`
		ResourceVersion   string            `json:"resourceVersion"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
		Annotations       map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		HostNetwork    bool        `json:"hostNetwork"`
		Containers     []container `json:"containers"`
		InitContainers []container `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
		PodIP string `json:"podIP"`
	} `json:"status"`
}

type container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
}

const mirrorAnnotation = "kubernetes.io/config.mirror"

func (p *pod) path() string {
	return fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", p.Metadata.Namespace, p.Metadata.Name)
}

// podTable knows which pod has which address.
type podTable struct {
	mu        sync.Mutex
	addresses map[string]netip.Addr
}

// take gives a pod an address of the node's range, the same as before when it had one.
func (t *podTable) take(uid, before, cidr string) (netip.Addr, error) {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.addresses == nil {
		t.addresses = map[string]netip.Addr{}
	}

	if address, err := netip.ParseAddr(before); err == nil {
		t.addresses[uid] = address

		return address, nil
	}

	if address, ok := t.addresses[uid]; ok {
		return address, nil
	}

	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("the node has no pod network yet: %w", err)
	}

	taken := map[netip.Addr]bool{}
	for _, address := range t.addresses {
		taken[address] = true
	}

	// The first two addresses are the network and its bridge.
	for address := prefix.Masked().Addr().Next().Next(); prefix.Contains(address.Next()); address = address.Next() {
		if !taken[address] {
			t.addresses[uid] = address

			return address, nil
		}
	}

	return netip.Addr{}, fmt.Errorf("no address is left in %s", cidr)
}

func (t *podTable) release(uid string) {
	t.mu.Lock()
	defer t.mu.Unlock()

	delete(t.addresses, uid)
}

// watchPods follows this node's pods; after a broken connection it lists them anew.
func (k *kubelet) watchPods(ctx context.Context) {
	mine := url.Values{"fieldSelector": {"spec.nodeName=" + k.Hostname}}

	for ; ctx.Err() == nil; sleep(ctx, 2*time.Second) {
		var all struct {
			Metadata struct {
				ResourceVersion string `json:"resourceVersion"`
			} `json:"metadata"`
			Items []pod `json:"items"`
		}

		if err := k.api.get(ctx, "/api/v1/pods?"+mine.Encode(), &all); err != nil {
			k.logf("kubelet", "list pods: %v", err)

			continue
		}

		for i := range all.Items {
			k.sync(ctx, &all.Items[i])
		}

		watch := url.Values{
			"fieldSelector": mine["fieldSelector"], "watch": {"1"}, "resourceVersion": {all.Metadata.ResourceVersion},
			"timeoutSeconds": {"600"},
		}

		err := k.api.watch(ctx, "/api/v1/pods?"+watch.Encode(), func(one event) error {
			if one.Type == "ERROR" {
				return fmt.Errorf("watch: %s", one.Object)
			}

			var p pod
			if err := json.Unmarshal(one.Object, &p); err != nil {
				return err
			}

			if one.Type == "DELETED" {
				k.pods.release(p.Metadata.UID)
			} else {
				k.sync(ctx, &p)
			}

			return nil
		})
		if err != nil && ctx.Err() == nil {
			k.logf("kubelet", "watch pods: %v", err)
		}
	}
}

// sync brings one pod to where it should be: gone when it is being deleted, running otherwise.
func (k *kubelet) sync(ctx context.Context, p *pod) {
	switch {
	case p.Metadata.Annotations[mirrorAnnotation] != "":
		return // keepMirrorPods writes these
	case p.Metadata.DeletionTimestamp != "":
		k.remove(ctx, p)
	case p.Status.Phase == "Pending" || p.Status.Phase == "":
		go k.run(ctx, p)
	case p.Status.Phase == "Running" && !p.Spec.HostNetwork:
		k.pods.take(p.Metadata.UID, p.Status.PodIP, k.podCIDR) //nolint:errcheck // it has one
	}
}

// remove tells the API server that nothing of the pod runs any more.
func (k *kubelet) remove(ctx context.Context, p *pod) {
	options := object{
		"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
		"preconditions": object{"uid": p.Metadata.UID},
	}

	if err := k.api.do(ctx, http.MethodDelete, p.path(), jsonType, options, nil); err != nil && !isStatus(err, http.StatusNotFound) {
		k.logf("kubelet", "delete pod %s: %v", p.Metadata.Name, err)
	}

	k.pods.release(p.Metadata.UID)
}

// run reports a pod as running, once it can have an address.
func (k *kubelet) run(ctx context.Context, p *pod) {
	for tries := 0; tries < 60 && ctx.Err() == nil; tries++ {
		address := k.Address

		if !p.Spec.HostNetwork {
			var err error
			if address, err = k.pods.take(p.Metadata.UID, p.Status.PodIP, k.podCIDR); err != nil {
				sleep(ctx, 2*time.Second)

				continue
			}
		}

		err := k.api.merge(ctx, p.path()+"/status", object{
			// Another pod of the same name must not get this one's status.
			"metadata": object{"uid": p.Metadata.UID},
			"status":   runningStatus(p, k.Address, address, time.Now()),
		}, nil)
		if err == nil || isStatus(err, http.StatusNotFound) || isStatus(err, http.StatusConflict) {
			return
		}

		k.logf("kubelet", "pod %s: %v", p.Metadata.Name, err)
		sleep(ctx, 2*time.Second)
	}
}

// runningStatus is the status of a pod all of whose containers run.
func runningStatus(p *pod, host, address netip.Addr, at time.Time) object {
	now := at.UTC().Format(time.RFC3339)
	conditions := []any{}

	for _, kind := range []string{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		conditions = append(conditions, object{"type": kind, "status": "True", "lastTransitionTime": now})
	}

	statuses := func(containers []container, state object, ready bool) []any {
		all := []any{}
		for _, c := range containers {
			all = append(all, object{
				"name": c.Name, "image": c.Image, "imageID": c.Image, "containerID": "containerd://" + p.Metadata.UID + "-" + c.Name,
				"ready": ready, "started": ready, "restartCount": 0, "state": state,
			})
		}

		return all
	}

	return object{
		"phase": "Running", "hostIP": host.String(), "hostIPs": []any{object{"ip": host.String()}},
		"podIP": address.String(), "podIPs": []any{object{"ip": address.String()}}, "startTime": now,
		"conditions":        conditions,
		"containerStatuses": statuses(p.Spec.Containers, object{"running": object{"startedAt": now}}, true),
		"initContainerStatuses": statuses(p.Spec.InitContainers, object{"terminated": object{
			"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now,
		}}, true),
	}
}
