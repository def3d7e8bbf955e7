package kube

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/constants"
)

// owned is what Talos keeps on a Node: labels, annotations and taints. It remembers by annotations which ones it set, so
// that it removes only its own.
// https://github.com/siderolabs/talos/blob/v1.13.9/internal/app/machined/pkg/controllers/k8s/node_apply.go
type owned struct {
	labels, annotations map[string]string
	taints              []taint
}

func (o *Options) nodeTaints() []taint {
	var taints []taint

	if o.isControlPlane() && !o.Config.Cluster().ScheduleOnControlPlanes() {
		taints = append(taints, taint{Key: constants.LabelNodeRoleControlPlane, Effect: "NoSchedule"})
	}

	for key, text := range o.Config.Machine().NodeTaints() {
		value, effect, found := strings.Cut(text, ":")
		if !found {
			value, effect = "", value
		}

		taints = append(taints, taint{Key: key, Value: value, Effect: effect})
	}

	slices.SortFunc(taints, func(a, b taint) int { return strings.Compare(a.Key, b.Key) })

	return taints
}

func (o *Options) ownedByTalos() owned {
	all := owned{labels: map[string]string{}, annotations: map[string]string{}, taints: o.nodeTaints()}
	maps.Copy(all.labels, o.Config.Machine().NodeLabels())
	maps.Copy(all.annotations, o.Config.Machine().NodeAnnotations())

	if o.isControlPlane() {
		all.labels[constants.LabelNodeRoleControlPlane] = ""
	}

	for name, version := range o.Extensions {
		all.annotations[constants.K8sExtensionPrefix+name] = version

		if labelValue.MatchString(version) {
			all.labels[constants.K8sExtensionPrefix+name] = version
		}
	}

	return all
}

var labelValue = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`)

// applyNode applies the machine config's labels, annotations and taints to the Node: on a control plane as administrator,
// elsewhere as the kubelet, which may not set everything.
func (k *kubelet) applyNode(ctx context.Context) error {
	options := k.newest()
	wanted := options.ownedByTalos()
	patch := nodePatch(k.view(), wanted)

	if patch == nil {
		return nil
	}

	api := k.api

	if k.isControlPlane() {
		admin, err := k.adminClient()
		if err != nil {
			return err
		}

		defer admin.http.CloseIdleConnections()

		api = admin
	}

	return api.merge(ctx, "/api/v1/nodes/"+k.Hostname, patch, nil)
}

// nodePatch is the merge patch that the Node needs; nil: none. It contains the resource version it is based on.
func nodePatch(node nodeView, wanted owned) object {
	labels := patchPairs(node.Metadata.Labels, wanted.labels, remembered(node, constants.AnnotationOwnedLabels))
	annotations := patchPairs(node.Metadata.Annotations, wanted.annotations, remembered(node, constants.AnnotationOwnedAnnotations))
	taints := mergeTaints(node.Spec.Taints, wanted.taints, remembered(node, constants.AnnotationOwnedTaints))

	var taintKeys []string
	for _, t := range wanted.taints {
		taintKeys = append(taintKeys, t.Key)
	}

	for name, keys := range map[string][]string{
		constants.AnnotationOwnedLabels:      slices.Sorted(maps.Keys(wanted.labels)),
		constants.AnnotationOwnedAnnotations: slices.Sorted(maps.Keys(wanted.annotations)),
		constants.AnnotationOwnedTaints:      taintKeys,
	} {
		text, err := json.Marshal(keys)
		if err != nil {
			continue
		}

		shown, isShown := node.Metadata.Annotations[name]

		switch {
		case len(keys) == 0 && isShown:
			annotations[name] = nil
		case len(keys) > 0 && shown != string(text):
			annotations[name] = string(text)
		}
	}

	changesTaints := len(taints)+len(node.Spec.Taints) > 0 && !reflect.DeepEqual(taints, node.Spec.Taints)
	if len(labels)+len(annotations) == 0 && !changesTaints {
		return nil
	}

	patch := object{"metadata": object{
		"labels": labels, "annotations": annotations, "resourceVersion": node.Metadata.ResourceVersion,
	}}

	if changesTaints {
		patch["spec"] = object{"taints": taints}
	}

	return patch
}

func remembered(node nodeView, annotation string) []string {
	var keys []string

	json.Unmarshal([]byte(node.Metadata.Annotations[annotation]), &keys) //nolint:errcheck // none then

	return keys
}

// patchPairs sets the desired pairs, unless another client set another value, and removes those no longer desired.
func patchPairs(shown, wanted map[string]string, mine []string) object {
	patch := object{}

	for key, value := range wanted {
		if has, ok := shown[key]; !ok || has != value && slices.Contains(mine, key) {
			patch[key] = value
		}
	}

	for _, key := range mine {
		if _, ok := wanted[key]; !ok {
			patch[key] = nil
		}
	}

	return patch
}

func mergeTaints(shown, wanted []taint, mine []string) []taint {
	var all []taint

	for _, t := range shown {
		isWanted := slices.ContainsFunc(wanted, func(w taint) bool { return w.Key == t.Key })
		if !isWanted && !slices.Contains(mine, t.Key) {
			all = append(all, t)
		}

		// A desired taint that another client changed stays as it is.
		if isWanted && (!slices.Contains(mine, t.Key) || slices.ContainsFunc(wanted, func(w taint) bool { return w == t })) {
			all = append(all, t)
		}
	}

	for _, w := range wanted {
		if !slices.ContainsFunc(all, func(t taint) bool { return t.Key == w.Key }) {
			all = append(all, w)
		}
	}

	return all
}
