package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"talosmith.dev/lab/tools/nfs"
)

// nfsDriver is the CSI driver whose volumes this kubelet mounts itself, in the driver's place.
const nfsDriver = "nfs.csi.k8s.io"

// nfsSource is an NFS folder that a pod wants.
type nfsSource struct {
	server, path string
	options      []string
	readOnly     bool
	// kind is how the kubelet names the folder: csi or nfs.
	kind string
}

// persistentVolume is what we need of a PersistentVolume.
type persistentVolume struct {
	Spec struct {
		MountOptions []string `json:"mountOptions"`
		NFS          *struct {
			Server   string `json:"server"`
			Path     string `json:"path"`
			ReadOnly bool   `json:"readOnly"`
		} `json:"nfs"`
		CSI *struct {
			Driver           string            `json:"driver"`
			VolumeAttributes map[string]string `json:"volumeAttributes"`
		} `json:"csi"`
	} `json:"spec"`
}

// mountClaim mounts the volume behind a claim.
func (run *podRun) mountClaim(claim string, readOnly bool) (string, error) {
	api, err := run.rt.client(run.ctx)
	if err != nil {
		return "", err
	}

	var bound struct {
		Spec struct {
			VolumeName string `json:"volumeName"`
		} `json:"spec"`
		Status struct {
			Phase string `json:"phase"`
		} `json:"status"`
	}

	namespace := run.snapshot().Metadata.Namespace
	if err := api.get(run.ctx, "/api/v1/namespaces/"+namespace+"/persistentvolumeclaims/"+claim, &bound); err != nil {
		return "", err
	}

	name := bound.Spec.VolumeName
	if name == "" || bound.Status.Phase != "Bound" {
		return "", fmt.Errorf("error processing PVC %s/%s: PVC is not bound", namespace, claim)
	}

	var found persistentVolume
	if err := api.get(run.ctx, "/api/v1/persistentvolumes/"+name, &found); err != nil {
		return "", err
	}

	switch spec := found.Spec; {
	case spec.NFS != nil:
		return run.mountNFS(name, nfsSource{
			server: spec.NFS.Server, path: spec.NFS.Path, options: spec.MountOptions, kind: "nfs", readOnly: readOnly || spec.NFS.ReadOnly,
		})
	case spec.CSI == nil:
		return "", fmt.Errorf("MountVolume.SetUp failed for volume %q : the lab mounts only NFS", name)
	case !run.rt.drivers.has(spec.CSI.Driver):
		return "", fmt.Errorf("MountVolume.MountDevice failed for volume %q : kubernetes.io/csi: driver name %s not found in the list of registered CSI drivers",
			name, spec.CSI.Driver)
	default:
		attributes := spec.CSI.VolumeAttributes
		parts := []string{strings.Trim(attributes["share"], "/"), strings.Trim(attributes["subdir"], "/")}
		path := "/" + strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "/")

		return run.mountNFS(name, nfsSource{
			server: attributes["server"], path: path, options: spec.MountOptions, kind: "csi", readOnly: readOnly,
		})
	}
}

// mountNFS mounts an NFS folder for this pod.
func (run *podRun) mountNFS(name string, source nfsSource) (string, error) {
	target := run.path("volumes", "kubernetes.io~"+source.kind, name)
	if source.kind == "csi" {
		target = run.path("volumes", "kubernetes.io~csi", name, "mount")
	}

	options := slices.Clone(source.options)
	if source.readOnly {
		options = append(options, "ro")
	}

	err := os.MkdirAll(target, 0o755)
	if err == nil {
		err = mountWithin(run.ctx, source, target, options)
	}

	if err != nil {
		return "", fmt.Errorf("MountVolume.SetUp failed for volume %q : mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs -o %s %s:%s %s\nOutput: %w",
			name, strings.Join(options, ","), source.server, source.path, target, err)
	}

	if security := run.snapshot().Spec.SecurityContext; source.kind == "csi" && !source.readOnly && security != nil && security.FSGroup != nil {
		if err := giveToGroup(target, int(*security.FSGroup)); err != nil {
			return "", err
		}
	}

	run.mu.Lock()
	run.mounts = append(run.mounts, target)
	run.mu.Unlock()

	return target, nil
}

// mountWithin gives up waiting for a mount when the pod is deleted; a mount that completes later is unmounted.
func mountWithin(ctx context.Context, source nfsSource, target string, options []string) error {
	result := make(chan error, 1)

	go func() { result <- nfs.Mount(ctx, source.server, source.path, target, options) }()

	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		go func() {
			if <-result == nil {
				nfs.Unmount(target) //nolint:errcheck // the pod is gone: nothing to report to
			}
		}()

		return errors.Join(ctx.Err())
	}
}

// giveToGroup lets the pod's fsGroup write to a volume, as the kubelet does for drivers with fsGroupPolicy File: it ignores what
// the server refuses (pkg/volume/volume_linux.go, changeFilePermission).
func giveToGroup(folder string, group int) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		info, err := entry.Info()
		if err != nil {
			return err
		}

		os.Lchown(path, -1, group) //nolint:errcheck // logged by the kubelet only

		if info.Mode()&os.ModeSymlink != 0 {
			return nil
		}

		mask := os.FileMode(0o660)
		if info.IsDir() {
			mask |= os.ModeSetgid | 0o110
		}

		os.Chmod(path, info.Mode()|mask) //nolint:errcheck // logged by the kubelet only

		return nil
	})
}
