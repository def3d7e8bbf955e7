package kube

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// driverTable is which CSI drivers run on this machine: name to the number of containers that registered it.
type driverTable struct {
	mu  sync.Mutex
	all map[string]int
}

func newDriverTable() *driverTable { return &driverTable{all: map[string]int{}} }

func (t *driverTable) has(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.all[name] > 0
}

func (t *driverTable) add(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.all[name] += n; t.all[name] <= 0 {
		delete(t.all, name)
	}
}

func (t *driverTable) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()

	names := make([]string, 0, len(t.all))
	for name := range t.all {
		names = append(names, name)
	}

	slices.Sort(names)

	return names
}

// registerDriver is what node-driver-registrar does here: the pod's driver is this node's while the container runs.
func registerDriver(ctx context.Context, c *containerRun) {
	name := nfsDriver

	for _, sibling := range c.run.snapshot().Spec.Containers {
		for _, arg := range sibling.Args {
			if value, ok := strings.CutPrefix(arg, "--drivername="); ok {
				name = value
			}
		}
	}

	rt := c.run.rt
	rt.drivers.add(name, 1)

	go func() {
		rt.keepDrivers(ctx)
		<-ctx.Done()
		rt.drivers.add(name, -1)
		rt.keepDrivers(context.Background())
	}()
}

// keepDrivers writes the drivers into the node's CSINode, until it has succeeded.
func (r *podRuntime) keepDrivers(ctx context.Context) {
	for ; ctx.Err() == nil; sleep(ctx, 3*time.Second) {
		api, err := r.client(ctx)
		if err != nil {
			return
		}

		if err = r.writeDrivers(ctx, api); err == nil {
			return
		}

		r.logf("kubelet", "CSINode: %v", err)
	}
}

// writeDrivers makes the node's CSINode, or its list of drivers, what it should be.
func (r *podRuntime) writeDrivers(ctx context.Context, api *client) error {
	const path = "/apis/storage.k8s.io/v1/csinodes"

	drivers := []any{}
	for _, name := range r.drivers.names() {
		drivers = append(drivers, object{"name": name, "nodeID": r.Hostname, "topologyKeys": nil})
	}

	err := api.merge(ctx, path+"/"+r.Hostname, object{"spec": object{"drivers": drivers}}, nil)
	if !isStatus(err, http.StatusNotFound) {
		return err
	}

	var node nodeView
	if err := api.get(ctx, "/api/v1/nodes/"+r.Hostname, &node); err != nil {
		return err
	}

	owner := object{"apiVersion": "v1", "kind": "Node", "name": r.Hostname, "uid": node.Metadata.UID}

	return api.post(ctx, path, object{
		"apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
		"metadata": object{"name": r.Hostname, "ownerReferences": []any{owner}},
		"spec":     object{"drivers": drivers},
	}, nil)
}
