package kube

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"golang.org/x/sys/unix"
)

// nodeFacts are what may change of a running machine.
type nodeFacts struct {
	podCIDR, kubeletVersion, config string
	hasNetwork                      bool
}

func (k *kubelet) facts() nodeFacts {
	options := k.newest()

	return nodeFacts{
		podCIDR: k.view().Spec.PodCIDR, hasNetwork: k.rt.hasNetwork(),
		kubeletVersion: tagOf(options.Config.Machine().Kubelet().Image()),
		// A config is never changed in place: a newer one is another object.
		config: fmt.Sprintf("%p", options.Config),
	}
}

// nodeStatus is the Node's status.
func (k *kubelet) nodeStatus() object {
	facts := k.facts()
	cores, memory, disk := int64(runtime.NumCPU()), memoryKib(), diskKib(k.Dir)
	reserved := memoryKibOf(constants.KubeletSystemReservedMemoryWorker)

	if k.isControlPlane() {
		reserved = memoryKibOf(constants.KubeletSystemReservedMemoryControlPlane)
	}

	resources := func(milliCores, memoryKib, diskKib int64) object {
		return object{
			"cpu": fmt.Sprintf("%dm", milliCores), "memory": fmt.Sprintf("%dKi", memoryKib), "pods": "110",
			"ephemeral-storage": fmt.Sprintf("%dKi", diskKib), "hugepages-1Gi": "0", "hugepages-2Mi": "0",
		}
	}

	return object{
		"addresses": []any{
			object{"type": "InternalIP", "address": k.Address.String()},
			object{"type": "Hostname", "address": k.Hostname},
		},
		"capacity": resources(1000*cores, memory, disk),
		// As Talos reserves: 50 millicores, memory by role, and 100 MiB under which the kubelet would evict.
		"allocatable":     resources(1000*cores-50, max(0, memory-reserved-100*1024), disk*9/10),
		"conditions":      k.nodeConditions(facts),
		"daemonEndpoints": object{"kubeletEndpoint": object{"Port": constants.KubeletPort}},
		"nodeInfo": object{
			"kubeletVersion": facts.kubeletVersion, "kubeProxyVersion": "", "osImage": fmt.Sprintf("Talos (%s)", k.TalosVersion),
			"operatingSystem": runtime.GOOS, "architecture": runtime.GOARCH, "kernelVersion": kernelRelease(),
			"containerRuntimeVersion": "containerd://lab", "bootID": k.BootID, "machineID": k.machineID(), "systemUUID": k.machineID(),
		},
	}
}

func (k *kubelet) nodeConditions(facts nodeFacts) []any {
	now := stamp(time.Now())
	shown := k.view().Status.Conditions
	condition := func(kind, status, reason, message string) object {
		since := now

		for _, c := range shown {
			if c.Type == kind && c.Status == status {
				since = c.LastTransitionTime
			}
		}

		return object{"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": now, "lastTransitionTime": since}
	}

	all := []any{
		condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
		condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
	}

	if facts.podCIDR == "" || !facts.hasNetwork {
		return append(all, condition("Ready", "False", "KubeletNotReady",
			"container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"))
	}

	return append(all,
		condition("NetworkUnavailable", "False", "FlannelIsUp", "Flannel is running on this node"),
		condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
}

// machineID stays the same for this machine's whole life.
func (k *kubelet) machineID() string {
	path := k.path("kubelet", "machine-id")
	if text, err := os.ReadFile(path); err == nil {
		return string(text)
	}

	id := digest(k.BootID, k.Hostname, k.Address.String())
	if err := writeFile(path, []byte(id)); err != nil {
		k.logf("kubelet", "machine ID: %v", err)
	}

	return id
}

func memoryKib() int64 {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer file.Close()

	var kib int64

	for lines := bufio.NewScanner(file); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kib); n == 1 {
			return kib
		}
	}

	return 0
}

// memoryKibOf reads a quantity in MiB, as the constants have them.
func memoryKibOf(quantity string) int64 {
	var mib int64

	fmt.Sscanf(quantity, "%dMi", &mib) //nolint:errcheck // 0 then

	return mib * 1024
}

func diskKib(dir string) int64 {
	var stat unix.Statfs_t
	if unix.Statfs(dir, &stat) != nil {
		return 0
	}

	return int64(stat.Blocks) * stat.Bsize / 1024
}

func kernelRelease() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease") // empty then

	return strings.TrimSpace(string(text))
}
