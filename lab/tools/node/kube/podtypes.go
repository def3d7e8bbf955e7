package kube

import (
	"fmt"
	"time"
)

// objectMeta is what we need of an object's metadata.
type objectMeta struct {
	Name                       string            `json:"name"`
	Namespace                  string            `json:"namespace"`
	UID                        string            `json:"uid"`
	ResourceVersion            string            `json:"resourceVersion"`
	Generation                 int64             `json:"generation"`
	DeletionTimestamp          *time.Time        `json:"deletionTimestamp"`
	DeletionGracePeriodSeconds *int64            `json:"deletionGracePeriodSeconds"`
	Annotations                map[string]string `json:"annotations"`
	Labels                     map[string]string `json:"labels"`
}

// pod is what we need of a Pod.
type pod struct {
	Metadata objectMeta `json:"metadata"`
	Spec     podSpec    `json:"spec"`
	Status   podStatus  `json:"status"`
}

type podSpec struct {
	NodeName           string           `json:"nodeName"`
	HostNetwork        bool             `json:"hostNetwork"`
	RestartPolicy      string           `json:"restartPolicy"`
	ServiceAccountName string           `json:"serviceAccountName"`
	InitContainers     []container      `json:"initContainers"`
	Containers         []container      `json:"containers"`
	Volumes            []volume         `json:"volumes"`
	SecurityContext    *securityContext `json:"securityContext"`
}

type container struct {
	Name                     string           `json:"name"`
	Image                    string           `json:"image"`
	Command                  []string         `json:"command"`
	Args                     []string         `json:"args"`
	WorkingDir               string           `json:"workingDir"`
	Env                      []envVar         `json:"env"`
	VolumeMounts             []volumeMount    `json:"volumeMounts"`
	SecurityContext          *securityContext `json:"securityContext"`
	RestartPolicy            string           `json:"restartPolicy"`
	TerminationMessagePolicy string           `json:"terminationMessagePolicy"`
}

type envVar struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	ValueFrom *struct {
		FieldRef *struct {
			FieldPath string `json:"fieldPath"`
		} `json:"fieldRef"`
	} `json:"valueFrom"`
}

type volumeMount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
	SubPath   string `json:"subPath"`
	ReadOnly  bool   `json:"readOnly"`
}

type securityContext struct {
	RunAsUser                *int64 `json:"runAsUser"`
	RunAsGroup               *int64 `json:"runAsGroup"`
	FSGroup                  *int64 `json:"fsGroup"`
	Privileged               *bool  `json:"privileged"`
	AllowPrivilegeEscalation *bool  `json:"allowPrivilegeEscalation"`
	Capabilities             *struct {
		Add  []string `json:"add"`
		Drop []string `json:"drop"`
	} `json:"capabilities"`
}

type podIP struct {
	IP string `json:"ip"`
}

// podStatus is a pod's status as the kubelet reports it.
type podStatus struct {
	ObservedGeneration    int64             `json:"observedGeneration,omitempty"`
	Phase                 string            `json:"phase,omitempty"`
	Conditions            []podCondition    `json:"conditions,omitempty"`
	HostIP                string            `json:"hostIP,omitempty"`
	HostIPs               []podIP           `json:"hostIPs,omitempty"`
	PodIP                 string            `json:"podIP,omitempty"`
	PodIPs                []podIP           `json:"podIPs,omitempty"`
	StartTime             string            `json:"startTime,omitempty"`
	InitContainerStatuses []containerStatus `json:"initContainerStatuses,omitempty"`
	ContainerStatuses     []containerStatus `json:"containerStatuses,omitempty"`
}

type podCondition struct {
	Type               string `json:"type"`
	Status             string `json:"status"`
	Reason             string `json:"reason,omitempty"`
	Message            string `json:"message,omitempty"`
	LastTransitionTime string `json:"lastTransitionTime,omitempty"`
	ObservedGeneration int64  `json:"observedGeneration,omitempty"`
}

type containerStatus struct {
	Name         string         `json:"name"`
	State        containerState `json:"state"`
	LastState    containerState `json:"lastState"`
	Ready        bool           `json:"ready"`
	RestartCount int            `json:"restartCount"`
	Image        string         `json:"image"`
	ImageID      string         `json:"imageID"`
	ContainerID  string         `json:"containerID,omitempty"`
	Started      *bool          `json:"started,omitempty"`
}

type containerState struct {
	Waiting    *stateWaiting    `json:"waiting,omitempty"`
	Running    *stateRunning    `json:"running,omitempty"`
	Terminated *stateTerminated `json:"terminated,omitempty"`
}

type stateWaiting struct {
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

type stateRunning struct {
	StartedAt string `json:"startedAt,omitempty"`
}

type stateTerminated struct {
	ExitCode    int    `json:"exitCode"`
	Signal      int    `json:"signal,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Message     string `json:"message,omitempty"`
	StartedAt   string `json:"startedAt,omitempty"`
	FinishedAt  string `json:"finishedAt,omitempty"`
	ContainerID string `json:"containerID,omitempty"`
}

// mirrorAnnotation is the annotation of a static pod's mirror pod.
const mirrorAnnotation = "kubernetes.io/config.mirror"

func (p *pod) path() string {
	return fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", p.Metadata.Namespace, p.Metadata.Name)
}

func (p *pod) isMirror() bool { return p.Metadata.Annotations[mirrorAnnotation] != "" }

// hasEnded tells whether the pod is in a terminal phase.
func (p *pod) hasEnded() bool { return p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" }

// stamp is a time as Kubernetes writes it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
