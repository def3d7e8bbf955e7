package kube

import (
	"context"
	"fmt"
	"time"
)

// event reports a problem of the pod as an Event. The same message again increases the existing Event's count.
func (run *podRun) event(kind, reason, message string) {
	run.rt.logf("kubelet", "pod %s: %s: %s", run.name(), reason, message)

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	api, err := run.rt.client(ctx)
	if err != nil {
		return
	}

	p := run.snapshot()
	now := stamp(time.Now())
	name := p.Metadata.Name + "." + digest(run.uid, reason, message)[:16]
	path := "/api/v1/namespaces/" + p.Metadata.Namespace + "/events"

	run.mu.Lock()
	run.events[name]++
	count := run.events[name]
	run.mu.Unlock()

	if count > 1 {
		err = api.merge(ctx, path+"/"+name, object{"count": count, "lastTimestamp": now}, nil)
	}

	if count == 1 || isStatus(err, 404) {
		err = api.post(ctx, path, object{
			"apiVersion": "v1", "kind": "Event", "metadata": object{"name": name, "namespace": p.Metadata.Namespace},
			"involvedObject": object{
				"apiVersion": "v1", "kind": "Pod", "name": p.Metadata.Name, "namespace": p.Metadata.Namespace, "uid": run.uid,
			},
			"type": kind, "reason": reason, "message": message, "count": count, "firstTimestamp": now, "lastTimestamp": now,
			"source": object{"component": "kubelet", "host": run.rt.Hostname}, "reportingComponent": "kubelet", "reportingInstance": run.rt.Hostname,
		}, nil)
	}

	if err != nil {
		run.rt.logf("kubelet", "event of pod %s: %v", run.name(), fmt.Errorf("%s: %w", reason, err))
	}
}
