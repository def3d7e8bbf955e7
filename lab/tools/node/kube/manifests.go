package kube

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"

	"go.yaml.in/yaml/v4"
)

// The first objects of a cluster, as Talos makes them: same names, labels and images; the workloads' inside is ours.
//
//go:embed manifests.yaml
var manifestText string

var manifestTemplate = template.Must(template.New("manifests").Parse(manifestText))

// places is where the API keeps the objects of a kind.
var places = map[string]struct {
	path       string
	namespaced bool
}{
	"Secret":             {"/api/v1/%ssecrets/", true},
	"ServiceAccount":     {"/api/v1/%sserviceaccounts/", true},
	"ConfigMap":          {"/api/v1/%sconfigmaps/", true},
	"Service":            {"/api/v1/%sservices/", true},
	"Deployment":         {"/apis/apps/v1/%sdeployments/", true},
	"DaemonSet":          {"/apis/apps/v1/%sdaemonsets/", true},
	"ClusterRole":        {"/apis/rbac.authorization.k8s.io/v1/%sclusterroles/", false},
	"ClusterRoleBinding": {"/apis/rbac.authorization.k8s.io/v1/%sclusterrolebindings/", false},
}

// manifests renders the objects that the machine config asks for.
func (o *Options) manifests() ([]object, error) {
	cluster := o.Config.Cluster()

	dns, err := cluster.Network().DNSServiceIPs()
	if err != nil {
		return nil, err
	}

	var text bytes.Buffer

	if err := manifestTemplate.Execute(&text, map[string]any{
		"TokenID":     cluster.Token().ID(),
		"TokenSecret": cluster.Token().Secret(),
		"CoreDNS":     cluster.CoreDNS().Enabled(),
		"CoreDNSImg":  cluster.CoreDNS().Image(),
		"DNSDomain":   cluster.Network().DNSDomain(),
		"DNSAddress":  dns[0].String(),
		"Proxy":       cluster.Proxy().Enabled(),
		"ProxyImage":  cluster.Proxy().Image(),
		"Flannel":     cluster.Network().CNI().Name() == "flannel",
		"PodCIDR":     strings.Join(cluster.Network().PodCIDRs(), ","),
	}); err != nil {
		return nil, err
	}

	var all []object

	decoder := yaml.NewDecoder(&text)

	for {
		var one object
		if err := decoder.Decode(&one); err != nil {
			break
		}

		if len(one) > 0 {
			all = append(all, one)
		}
	}

	return all, nil
}

func placeOf(one object) (string, error) {
	kind, _ := one["kind"].(string)

	place, ok := places[kind]
	if !ok {
		return "", fmt.Errorf("no place for kind %q", kind)
	}

	meta, _ := one["metadata"].(object)
	name, _ := meta["name"].(string)
	namespace := ""

	if place.namespaced {
		namespace = fmt.Sprintf("namespaces/%v/", meta["namespace"])
	}

	return fmt.Sprintf(place.path, namespace) + name, nil
}

// keepObjects applies the first objects once the API is ready, and marks control planes, which a kubelet may not do itself.
func (o *Options) keepObjects(ctx context.Context, admin *client) {
	if waitReady(ctx, admin) != nil {
		return
	}

	applied := false

	for ctx.Err() == nil {
		if !applied {
			if err := o.applyManifests(ctx, admin); err != nil {
				o.logf("kube-apiserver", "bootstrap manifests: %v", err)
				sleep(ctx, 3*time.Second)

				continue
			}

			applied = true
		}

		label := object{"metadata": object{"labels": object{"node-role.kubernetes.io/control-plane": ""}}}

		err := admin.merge(ctx, "/api/v1/nodes/"+o.Hostname, label, nil)
		if err == nil {
			sleep(ctx, 5*time.Minute)
		} else {
			sleep(ctx, 3*time.Second)
		}
	}
}

func (o *Options) applyManifests(ctx context.Context, admin *client) error {
	all, err := o.manifests()
	if err != nil {
		return err
	}

	for _, one := range all {
		place, err := placeOf(one)
		if err != nil {
			return err
		}

		if err := admin.apply(ctx, place, one); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
	}

	return nil
}
