package kube

import (
	"context"
	"net/http"
	"time"
)

func (o *Options) staticPodName(component string) string {
	return "kube-system/" + component + "-" + o.Hostname
}

// keepMirrorPods shows the control plane's processes as the pods that they are on Talos.
func (k *kubelet) keepMirrorPods(ctx context.Context) {
	cluster := k.Config.Cluster()
	images := map[string]string{
		"kube-apiserver":          cluster.APIServer().Image(),
		"kube-controller-manager": cluster.ControllerManager().Image(),
		"kube-scheduler":          cluster.Scheduler().Image(),
	}

	for ; ctx.Err() == nil; sleep(ctx, time.Minute) {
		for name, image := range images {
			if err := k.keepMirrorPod(ctx, name, image); err != nil {
				k.logf("kubelet", "mirror pod %s: %v", name, err)
			}
		}
	}
}

func (k *kubelet) keepMirrorPod(ctx context.Context, name, image string) error {
	var seen pod

	path := "/api/v1/namespaces/kube-system/pods"
	full := name + "-" + k.Hostname
	err := k.api.get(ctx, path+"/"+full, &seen)

	switch {
	case err == nil && len(seen.Spec.Containers) == 1 && seen.Spec.Containers[0].Image == image && seen.Status.Phase == "Running":
		return nil
	case err == nil && (len(seen.Spec.Containers) != 1 || seen.Spec.Containers[0].Image != image):
		k.remove(ctx, &seen)
	case err != nil && !isStatus(err, http.StatusNotFound):
		return err
	}

	if err != nil || seen.Spec.Containers[0].Image != image {
		if err := k.api.post(ctx, path, k.mirrorPod(name, full, image), &seen); err != nil {
			return err
		}
	}

	return k.api.merge(ctx, path+"/"+full+"/status", object{"status": runningStatus(&seen, k.Address, k.Address, time.Now())}, nil)
}

// mirrorPod names its Node as owner, without which the API server takes no mirror pod from a kubelet.
func (k *kubelet) mirrorPod(name, full, image string) object {
	return object{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": object{
			"name": full, "namespace": "kube-system",
			"labels": object{"tier": "control-plane", "component": name, "k8s-app": name},
			"annotations": object{
				mirrorAnnotation:              "lab",
				"kubernetes.io/config.source": "file",
				"kubernetes.io/config.hash":   "lab",
			},
			"ownerReferences": []any{object{"apiVersion": "v1", "kind": "Node", "name": k.Hostname, "uid": k.nodeUID, "controller": true}},
		},
		"spec": object{
			"nodeName": k.Hostname, "hostNetwork": true, "priorityClassName": "system-cluster-critical",
			"tolerations": []any{object{"operator": "Exists"}},
			"containers":  []any{object{"name": name, "image": image}},
		},
	}
}
