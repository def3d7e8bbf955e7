package kube

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"talosmith.dev/lab/tools/nfs"
)

// volume is what we need of a pod's volume.
type volume struct {
	Name     string `json:"name"`
	EmptyDir *struct {
		Medium string `json:"medium"`
	} `json:"emptyDir"`
	HostPath *struct {
		Path string `json:"path"`
		Type string `json:"type"`
	} `json:"hostPath"`
	ConfigMap *keyedSource `json:"configMap"`
	Secret    *keyedSource `json:"secret"`
	Projected *struct {
		Sources []projection `json:"sources"`
	} `json:"projected"`
	NFS *struct {
		Server   string `json:"server"`
		Path     string `json:"path"`
		ReadOnly bool   `json:"readOnly"`
	} `json:"nfs"`
	PersistentVolumeClaim *struct {
		ClaimName string `json:"claimName"`
		ReadOnly  bool   `json:"readOnly"`
	} `json:"persistentVolumeClaim"`
}

// path is a folder of this pod on this machine.
func (run *podRun) path(parts ...string) string {
	own := filepath.Join(filepath.Dir(run.rt.Dir), "kubelet", "pods", run.uid)

	return filepath.Join(append([]string{own}, parts...)...)
}

// volumePath is where a volume's content is on this machine.
func (run *podRun) volumePath(name string) (string, error) {
	run.mu.Lock()
	defer run.mu.Unlock()

	path, ok := run.volumes[name]
	if !ok {
		return "", errors.New("is not there")
	}

	return path, nil
}

// runsProcesses tells whether a container of the pod is a real process, which needs all of its volumes.
func (run *podRun) runsProcesses() bool {
	return slices.ContainsFunc(run.containers, func(c *containerRun) bool { return c.image.program != nil })
}

// mountVolumes sets up the pod's volumes, retrying until it succeeds; false: the pod must end. A pod that runs no process
// gets only those that others can see: NFS.
func (run *podRun) mountVolumes() bool {
	isReal := run.runsProcesses()

	for _, v := range run.snapshot().Spec.Volumes {
		if !isReal && v.NFS == nil && v.PersistentVolumeClaim == nil {
			continue
		}

		for pause := 500 * time.Millisecond; ; pause = min(2*pause, 2*time.Minute) {
			path, err := run.makeVolume(v)
			if err == nil {
				run.mu.Lock()
				run.volumes[v.Name] = path
				run.mu.Unlock()

				break
			}

			if run.ctx.Err() != nil {
				return false
			}

			run.tell()
			run.event("Warning", "FailedMount", err.Error())
			sleep(run.ctx, pause)
		}
	}

	return run.ctx.Err() == nil
}

// makeVolume makes one volume and gives its path. It may be called again after a failure.
func (run *podRun) makeVolume(v volume) (string, error) {
	var (
		kind string
		err  error
	)

	switch {
	case v.HostPath != nil:
		return v.HostPath.Path, hostPath(v.HostPath.Path, v.HostPath.Type)
	case v.PersistentVolumeClaim != nil:
		return run.mountClaim(v.PersistentVolumeClaim.ClaimName, v.PersistentVolumeClaim.ReadOnly)
	case v.NFS != nil:
		return run.mountNFS(v.Name, nfsSource{server: v.NFS.Server, path: v.NFS.Path, kind: "nfs", readOnly: v.NFS.ReadOnly})
	case v.EmptyDir != nil:
		kind = "empty-dir"
	case v.ConfigMap != nil:
		kind = "configmap"
	case v.Secret != nil:
		kind = "secret"
	case v.Projected != nil:
		kind = "projected"
	default:
		return "", fmt.Errorf("MountVolume.SetUp failed for volume %q : the lab knows no volumes of this kind", v.Name)
	}

	dir := run.path("volumes", "kubernetes.io~"+kind, v.Name)
	if err = os.MkdirAll(dir, 0o755); err == nil && v.EmptyDir != nil {
		err = os.Chmod(dir, 0o777)
	}

	switch {
	case err != nil || v.EmptyDir != nil:
	case v.ConfigMap != nil:
		err = run.project(dir, projection{ConfigMap: v.ConfigMap})
	case v.Secret != nil:
		v.Secret.Name = v.Secret.SecretName
		err = run.project(dir, projection{Secret: v.Secret})
	default:
		for _, source := range v.Projected.Sources {
			if err == nil {
				err = run.project(dir, source)
			}
		}
	}

	if err != nil {
		return "", fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err)
	}

	return dir, nil
}

func hostPath(path, kind string) error {
	switch kind {
	case "DirectoryOrCreate":
		return os.MkdirAll(path, 0o755)
	case "":
		return nil
	}

	if _, err := os.Stat(path); err != nil && strings.HasPrefix(kind, "Directory") {
		// The folders of the kubelet itself are there on a real node.
		return os.MkdirAll(path, 0o755)
	}

	return nil
}

// cleanUp removes the pod's mounts and files; its logs stay until the pod is forgotten.
func (run *podRun) cleanUp() {
	run.mu.Lock()
	mounts := slices.Clone(run.mounts)
	run.mounts = nil
	run.mu.Unlock()

	for _, target := range slices.Backward(mounts) {
		if err := nfs.Unmount(target); err != nil {
			run.rt.logf("kubelet", "unmount %s: %v", target, err)
		}
	}

	for _, part := range []string{"volumes", "containers"} {
		if err := removeTree(run.path(part)); err != nil {
			run.rt.logf("kubelet", "pod %s: %v", run.name(), err)
		}
	}
}
