package main

import (
	"context"
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// resizer reports every claim's requested size as its capacity: a sub-directory has no size of its own.
type resizer struct{ client kubernetes.Interface }

func (r *resizer) handler(ctx context.Context) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, now any) {
		if claim, ok := now.(*v1.PersistentVolumeClaim); ok {
			if err := r.expand(ctx, claim); err != nil {
				klog.Errorf("claim %s/%s: %v", claim.Namespace, claim.Name, err)
			}
		}
	}}
}

func (r *resizer) expand(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	requested, shown := claim.Spec.Resources.Requests[v1.ResourceStorage], claim.Status.Capacity[v1.ResourceStorage]
	if claim.Status.Phase != v1.ClaimBound || requested.Cmp(shown) <= 0 {
		return nil
	}

	volumes := r.client.CoreV1().PersistentVolumes()

	volume, err := volumes.Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil || volume.Spec.CSI == nil || volume.Spec.CSI.Driver != driverName {
		return err
	}

	size := map[string]any{"capacity": map[string]string{"storage": requested.String()}}
	inSpec, inStatus := patch("spec", size), patch("status", size)

	if _, err = volumes.Patch(ctx, volume.Name, types.MergePatchType, inSpec, metav1.PatchOptions{}); err != nil {
		return err
	}

	_, err = r.client.CoreV1().PersistentVolumeClaims(claim.Namespace).
		Patch(ctx, claim.Name, types.MergePatchType, inStatus, metav1.PatchOptions{}, "status")

	return err
}

func patch(part string, content any) []byte {
	text, _ := json.Marshal(map[string]any{part: content}) // maps of texts

	return text
}
