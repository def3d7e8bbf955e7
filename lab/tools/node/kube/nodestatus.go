package kube

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (k *kubelet) labels() object {
	labels := object{
		"kubernetes.io/hostname": k.Hostname, "kubernetes.io/os": runtime.GOOS, "kubernetes.io/arch": runtime.GOARCH,
		"beta.kubernetes.io/os": runtime.GOOS, "beta.kubernetes.io/arch": runtime.GOARCH,
	}

	for key, value := range k.Config.Machine().NodeLabels() {
		labels[key] = value
	}

	return labels
}

// nodeObject is the Node as this machine registers it.
func (k *kubelet) nodeObject() object {
	var taints []any

	if k.isControlPlane() && !k.Config.Cluster().ScheduleOnControlPlanes() {
		taints = append(taints, object{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
	}

	for key, value := range k.Config.Machine().NodeTaints() {
		taint, effect, _ := strings.Cut(value, ":")
		taints = append(taints, object{"key": key, "value": taint, "effect": effect})
	}

	return object{
		"apiVersion": "v1", "kind": "Node",
		"metadata": object{"name": k.Hostname, "labels": k.labels(), "annotations": object{"volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
		"spec":     object{"taints": taints},
		"status":   k.nodeStatus(),
	}
}

// startedAt is when the conditions last changed: a kubelet's conditions are good from its start on.
var startedAt = time.Now()

func (k *kubelet) nodeStatus() object {
	now := time.Now().UTC().Format(time.RFC3339)
	since := startedAt.UTC().Format(time.RFC3339)

	condition := func(kind, status, reason, message string) object {
		return object{"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": now, "lastTransitionTime": since}
	}

	ready := condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
	if k.podCIDR == "" {
		ready = condition("Ready", "False", "KubeletNotReady", "container runtime network not ready: no pod network was given to this node yet")
	}

	capacity := object{
		"cpu": fmt.Sprint(runtime.NumCPU()), "memory": fmt.Sprintf("%dKi", memoryKib()), "pods": "110",
		"ephemeral-storage": fmt.Sprintf("%dKi", diskKib(k.Dir)), "hugepages-2Mi": "0",
	}

	return object{
		"addresses": []any{
			object{"type": "InternalIP", "address": k.Address.String()},
			object{"type": "Hostname", "address": k.Hostname},
		},
		"capacity":    capacity,
		"allocatable": capacity,
		"conditions": []any{
			condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
			condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
			condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
			ready,
		},
		"daemonEndpoints": object{"kubeletEndpoint": object{"Port": 10250}},
		"nodeInfo": object{
			"kubeletVersion": tagOf(k.Config.Machine().Kubelet().Image()), "kubeProxyVersion": "",
			"osImage": fmt.Sprintf("Talos (%s)", k.TalosVersion), "operatingSystem": runtime.GOOS, "architecture": runtime.GOARCH,
			"kernelVersion": kernelRelease(), "containerRuntimeVersion": "containerd://lab",
			"bootID": k.BootID, "machineID": k.BootID, "systemUUID": k.BootID,
		},
	}
}

func memoryKib() int64 {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer file.Close() //nolint:errcheck

	var kib int64

	for lines := bufio.NewScanner(file); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kib); n == 1 { //nolint:errcheck
			return kib
		}
	}

	return 0
}

func diskKib(dir string) uint64 {
	var stat unix.Statfs_t
	if unix.Statfs(dir, &stat) != nil {
		return 0
	}

	return stat.Blocks * uint64(stat.Bsize) / 1024
}

func kernelRelease() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease") //nolint:errcheck // empty then

	return strings.TrimSpace(string(text))
}
