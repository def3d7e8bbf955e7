package kube

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
)

func (o *Options) staticPodName(component string) string {
	return "kube-system/" + component + "-" + o.Hostname
}

// hashAnnotation identifies the manifest of a static pod.
const hashAnnotation = "kubernetes.io/config.hash"

// keepStaticPods shows the control plane's processes as the mirror pods that they are on Talos.
func (k *kubelet) keepStaticPods(ctx context.Context) {
	components := k.state().components

	changed, stop := components.changes()
	defer stop()

	for ctx.Err() == nil {
		wanted := components.get()

		var shown struct {
			Items []pod `json:"items"`
		}

		// A kubelet may list its own pods, and get only those that are there.
		err := k.api.get(ctx, "/api/v1/namespaces/kube-system/pods?fieldSelector=spec.nodeName%3D"+k.Hostname, &shown)
		if err == nil {
			err = k.syncStaticPods(ctx, wanted, shown.Items)
		}

		pause := 30 * time.Second

		if err != nil {
			if ctx.Err() == nil {
				k.logf("kubelet", "static pods: %v", err)
			}

			pause = 3 * time.Second
		}

		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(pause):
		}
	}
}

func (k *kubelet) syncStaticPods(ctx context.Context, wanted map[string]componentState, shown []pod) error {
	mirrors := map[string]*pod{}

	for i, p := range shown {
		if p.isMirror() {
			mirrors[strings.TrimSuffix(p.Metadata.Name, "-"+k.Hostname)] = &shown[i]
		}
	}

	for name, mirror := range mirrors {
		state, isWanted := wanted[name]
		manifest := k.staticPod(name, state)

		if isWanted && mirror.Metadata.DeletionTimestamp == nil && mirror.Metadata.Annotations[hashAnnotation] == manifest.hash {
			continue
		}

		if err := k.removeMirror(ctx, mirror); err != nil {
			return err
		}

		delete(mirrors, name)
	}

	for name, state := range wanted {
		mirror := mirrors[name]

		if mirror == nil {
			mirror = &pod{}
			if err := k.api.post(ctx, "/api/v1/namespaces/kube-system/pods", k.staticPod(name, state).object, mirror); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}

		if err := k.tellStaticPod(ctx, mirror, name, state); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}

	return nil
}

func (k *kubelet) removeMirror(ctx context.Context, mirror *pod) error {
	options := object{
		"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": object{"uid": mirror.Metadata.UID},
	}

	err := k.api.do(ctx, http.MethodDelete, mirror.path(), jsonType, options, nil)
	if isStatus(err, http.StatusNotFound) {
		return nil
	}

	return err
}

// tellStaticPod writes the mirror pod's status, if it differs from the one in the API.
func (k *kubelet) tellStaticPod(ctx context.Context, mirror *pod, name string, state componentState) error {
	// The status is that of an ordinary pod with one container that runs, ready or not.
	run := &podRun{rt: k.rt, uid: mirror.Metadata.UID, pod: *mirror, address: k.Address.String(), startTime: state.started}
	c := &containerRun{run: run, spec: &container{Name: name, Image: state.image}, runs: 1, restarts: state.restarts}
	c.state.Running = &stateRunning{StartedAt: stamp(state.started)}
	c.id = "containerd://" + digest(k.BootID, name, stamp(state.started)) + digest(name, fmt.Sprint(state.restarts))
	c.isUnready = !state.ready
	run.containers = []*containerRun{c}

	status := run.status()
	if isShown(status, mirror.Status) {
		return nil
	}

	return k.api.patchStatus(ctx, mirror.path(), object{"metadata": object{"uid": mirror.Metadata.UID}, "status": status})
}

// manifest is a static pod and what tells it from another.
type manifest struct {
	object object
	hash   string
}

// staticPod is the mirror pod of a program of the control plane, with Talos' names and labels. It names its Node as
// owner, without which the API server rejects a kubelet's mirror pod.
func (k *kubelet) staticPod(name string, state componentState) manifest {
	version := strings.TrimPrefix(tagOf(state.image), "v")
	annotations := object{"kubernetes.io/config.source": "file"}
	labels := object{
		"tier": "control-plane", "k8s-app": name, "component": name, "app.kubernetes.io/name": name,
		"app.kubernetes.io/version": version, "app.kubernetes.io/component": "control-plane", "app.kubernetes.io/managed-by": "Talos",
	}

	if state.version != "" {
		annotations[constants.AnnotationStaticPodConfigVersion] = state.version
	}

	probe := func(port int) object {
		return object{"httpGet": object{"path": "/healthz", "host": "localhost", "port": port, "scheme": "HTTPS"}}
	}

	one := object{
		"name": name, "image": state.image, "command": state.command, "resources": object{"requests": requests[name]},
		"volumeMounts": []any{object{"name": "secrets", "mountPath": filepath.Join("/system/secrets/kubernetes", name), "readOnly": true}},
	}

	if port := map[string]int{controllerManager: 10257, scheduler: 10259}[name]; port != 0 {
		one["livenessProbe"], one["startupProbe"] = probe(port), probe(port)
	}

	spec := object{
		"nodeName": k.Hostname, "hostNetwork": true, "priorityClassName": "system-cluster-critical",
		"tolerations": []any{object{"operator": "Exists", "effect": "NoExecute"}},
		"containers":  []any{one},
		"volumes":     []any{object{"name": "secrets", "hostPath": object{"path": filepath.Join("/system/secrets/kubernetes", name)}}},
	}

	hash := digest(k.Hostname, fmt.Sprint(spec, labels, annotations))
	annotations[hashAnnotation], annotations[mirrorAnnotation] = hash, hash

	return manifest{hash: hash, object: object{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": object{
			"name": name + "-" + k.Hostname, "namespace": "kube-system", "labels": labels, "annotations": annotations,
			"ownerReferences": []any{object{
				"apiVersion": "v1", "kind": "Node", "name": k.Hostname, "uid": k.view().Metadata.UID, "controller": true,
			}},
		},
		"spec": spec,
	}}
}

// requests are Talos' resource requests.
var requests = map[string]object{
	apiServer:         {"cpu": "200m", "memory": "512Mi"},
	controllerManager: {"cpu": "50m", "memory": "256Mi"},
	scheduler:         {"cpu": "10m", "memory": "64Mi"},
}
