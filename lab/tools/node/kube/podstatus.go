package kube

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"time"
)

// status is the pod's status, as the kubelet knows it.
func (run *podRun) status() podStatus {
	host := podIP{IP: run.rt.Address.String()}

	run.mu.Lock()
	defer run.mu.Unlock()

	s := podStatus{
		ObservedGeneration: run.pod.Metadata.Generation, Phase: run.phase(),
		HostIP: host.IP, HostIPs: []podIP{host}, StartTime: stamp(run.startTime),
	}

	if run.address != "" {
		s.PodIP, s.PodIPs = run.address, []podIP{{IP: run.address}}
	}

	initialized := true

	var unready []string

	for _, c := range run.containers {
		status := c.report()

		switch {
		case c.isInit:
			s.InitContainerStatuses = append(s.InitContainerStatuses, status)
			initialized = initialized && (status.Ready || c.isSidecar() && status.State.Running != nil)
		default:
			s.ContainerStatuses = append(s.ContainerStatuses, status)

			if !status.Ready {
				unready = append(unready, c.spec.Name)
			}
		}
	}

	s.Conditions = run.conditions(s.Phase, initialized, unready)

	return s
}

func (run *podRun) conditions(phase string, initialized bool, unready []string) []podCondition {
	now := stamp(time.Now())
	condition := func(kind string, holds bool, reason, message string) podCondition {
		c := podCondition{Type: kind, Status: "True", LastTransitionTime: now, ObservedGeneration: run.pod.Metadata.Generation}
		if !holds {
			c.Status, c.Reason, c.Message = "False", reason, message
		}

		// What does not change keeps the time of its last change.
		for _, shown := range run.pod.Status.Conditions {
			if shown.Type == kind && shown.Status == c.Status {
				c.LastTransitionTime = shown.LastTransitionTime
			}
		}

		return c
	}

	reason, message := "ContainersNotReady", "containers with unready status: ["+strings.Join(unready, " ")+"]"
	ended := phase == "Succeeded" || phase == "Failed"

	switch phase {
	case "Succeeded":
		reason, message = "PodCompleted", ""
	case "Failed":
		reason, message = "PodFailed", ""
	}

	return []podCondition{
		condition("PodReadyToStartContainers", run.address != "" && !ended, "", ""),
		condition("Initialized", initialized, "ContainersNotInitialized", "containers with incomplete status"),
		condition("Ready", len(unready) == 0, reason, message),
		condition("ContainersReady", len(unready) == 0, reason, message),
		condition("PodScheduled", true, "", ""),
	}
}

func (run *podRun) phase() string {
	var running, waiting, succeeded, failed int

	for _, c := range run.containers {
		state := c.now()

		switch {
		case c.isInit && !c.isSidecar():
			if state.Terminated == nil {
				return "Pending"
			}

			if state.Terminated.ExitCode != 0 {
				if run.pod.Spec.RestartPolicy == "Never" {
					return "Failed"
				}

				return "Pending"
			}
		case c.isInit:
		case state.Running != nil:
			running++
		case state.Terminated == nil && c.hasRun():
			running++ // between two runs
		case state.Terminated == nil:
			waiting++
		case state.Terminated.ExitCode == 0:
			succeeded++
		default:
			failed++
		}
	}

	policy := run.pod.Spec.RestartPolicy

	switch {
	case waiting > 0:
		return "Pending"
	case running > 0 || policy == "Always" || policy == "" || failed > 0 && policy == "OnFailure":
		return "Running"
	case failed > 0:
		return "Failed"
	default:
		return "Succeeded"
	}
}

// publish writes the status to the API server, if it differs.
func (run *podRun) publish(ctx context.Context, api *client) error {
	run.mu.Lock()
	isTold, isStopping, p := run.isTold, run.isStopping, run.pod
	run.mu.Unlock()

	if !isTold || isStopping || p.hasEnded() {
		return nil
	}

	status := run.status()
	if isShown(status, p.Status) {
		return nil
	}

	// Another pod of the same name must not get this one's status.
	err := api.patchStatus(ctx, p.path(), object{"metadata": object{"uid": run.uid}, "status": status})
	if isStatus(err, http.StatusNotFound) || isStatus(err, http.StatusConflict) {
		return nil // the watch will tell
	}

	return err
}

// isShown tells whether the API server shows a status; conditions of others don't matter.
func isShown(want, have podStatus) bool {
	if want.Phase != have.Phase || want.PodIP != have.PodIP || want.HostIP != have.HostIP ||
		!reflect.DeepEqual(want.ContainerStatuses, have.ContainerStatuses) ||
		!reflect.DeepEqual(want.InitContainerStatuses, have.InitContainerStatuses) {
		return false
	}

	for _, w := range want.Conditions {
		found := false
		for _, h := range have.Conditions {
			found = found || h.Type == w.Type && h.Status == w.Status && h.Reason == w.Reason && h.Message == w.Message
		}

		if !found {
			return false
		}
	}

	return true
}
