package kube

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
)

// keepObjects creates the cluster's first objects once the API is ready, and those of a newer machine config later. As on
// Talos, an existing object is not changed.
func (o Options) keepObjects(ctx context.Context) {
	admin, err := o.adminClient()
	if err != nil {
		o.logf(apiServer, "bootstrap manifests: %v", err)

		return
	}

	defer admin.http.CloseIdleConnections()

	var made config.Provider

	for ; ctx.Err() == nil; sleep(ctx, 3*time.Second) {
		next := o.newest()
		if next.Config == made || waitReady(ctx, admin) != nil {
			continue
		}

		if err := next.makeObjects(ctx, admin); err == nil {
			made = next.Config
		} else if ctx.Err() == nil {
			o.logf(apiServer, "bootstrap manifests: %v", err)
		}
	}
}

func (o *Options) makeObjects(ctx context.Context, admin *client) error {
	all, err := Manifests(o.Config)
	if err != nil {
		return err
	}

	var objects []object
	for _, manifest := range all {
		objects = append(objects, manifest.Objects...)
	}

	// Namespaces and definitions come before what needs them.
	slices.SortStableFunc(objects, func(a, b object) int { return rank(a) - rank(b) })

	places := places{api: admin, known: map[string]place{}}

	for _, one := range objects {
		path, err := places.find(ctx, one)
		if err != nil {
			return err
		}

		err = admin.get(ctx, path, nil)
		if isStatus(err, http.StatusNotFound) {
			err = admin.apply(ctx, path, one)
		}

		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}

	return nil
}

func rank(one object) int {
	return map[any]int{"Namespace": -2, "CustomResourceDefinition": -1}[one["kind"]]
}

// place is the API path of a kind's objects.
type place struct {
	plural     string
	namespaced bool
}

// places reads from the API which path each kind has.
type places struct {
	api   *client
	known map[string]place
}

func (p places) find(ctx context.Context, one object) (string, error) {
	version, _ := one["apiVersion"].(string)
	kind, _ := one["kind"].(string)
	meta, _ := one["metadata"].(object)
	name, _ := meta["name"].(string)

	root := "/apis/" + version
	if !strings.Contains(version, "/") {
		root = "/api/" + version
	}

	found, ok := p.known[version+" "+kind]
	if !ok {
		var list struct {
			Resources []struct {
				Name       string `json:"name"`
				Kind       string `json:"kind"`
				Namespaced bool   `json:"namespaced"`
			} `json:"resources"`
		}

		if err := p.api.get(ctx, root, &list); err != nil {
			return "", fmt.Errorf("%s: %w", version, err)
		}

		for _, r := range list.Resources {
			if !strings.Contains(r.Name, "/") {
				p.known[version+" "+r.Kind] = place{plural: r.Name, namespaced: r.Namespaced}
			}
		}

		if found, ok = p.known[version+" "+kind]; !ok {
			return "", fmt.Errorf("the API knows no %s %s", version, kind)
		}
	}

	if !found.namespaced {
		return root + "/" + found.plural + "/" + name, nil
	}

	namespace, _ := meta["namespace"].(string)
	if namespace == "" {
		namespace = "default"
	}

	return root + "/namespaces/" + namespace + "/" + found.plural + "/" + name, nil
}
