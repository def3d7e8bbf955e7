package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
	"talosmith.dev/lab/tools/nfs"
)

// exports makes and removes sub-directories of NFS exports, one for each volume.
type exports struct{ client kubernetes.Interface }

// handle names a volume as csi-driver-nfs does: server#share#subDir#uuid#onDelete.
type handle struct{ server, share, subDir, onDelete string }

func (h handle) String() string {
	return strings.Join([]string{h.server, strings.Trim(h.share, "/"), h.subDir, "", h.onDelete}, "#")
}

func parseHandle(text string) (handle, error) {
	parts := strings.Split(text, "#")
	if len(parts) < 3 || parts[0] == "" || parts[2] == "" {
		return handle{}, fmt.Errorf("volume handle %q is not server#share#subDir", text)
	}

	h := handle{server: parts[0], share: "/" + parts[1], subDir: parts[2]}
	if len(parts) > 4 {
		h.onDelete = parts[4]
	}

	return h, h.check()
}

// check rejects a sub-directory that is the export itself, or outside of it.
func (h handle) check() error {
	if clean := path.Clean("/" + h.subDir); clean == "/" || clean != "/"+strings.Trim(h.subDir, "/") {
		return fmt.Errorf("sub-directory %q is not below the export", h.subDir)
	}

	return nil
}

// newHandle is where a claim's volume goes.
func newHandle(o controller.ProvisionOptions) (handle, error) {
	parameters := map[string]string{}
	for key, value := range o.StorageClass.Parameters {
		parameters[strings.ToLower(key)] = value
	}

	h := handle{server: parameters["server"], share: parameters["share"], subDir: parameters["subdir"], onDelete: parameters["ondelete"]}

	if h.server == "" || h.share == "" {
		return h, errors.New("server and share are required parameters")
	}

	if h.subDir == "" {
		h.subDir = o.PVName
	}

	h.subDir = strings.NewReplacer(
		"${pvc.metadata.name}", o.PVC.Name, "${pvc.metadata.namespace}", o.PVC.Namespace, "${pv.metadata.name}", o.PVName,
	).Replace(h.subDir)

	return h, h.check()
}

// Provision makes the sub-directory of a claim.
func (e exports) Provision(ctx context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	h, err := newHandle(o)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}

	secret := secretOf(o.StorageClass.Parameters)
	if _, err := e.mountOptions(ctx, secret); err != nil {
		return nil, controller.ProvisioningFinished, err
	}

	permissions, err := permissionsOf(o.StorageClass.Parameters)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}

	err = h.mounted(ctx, o.StorageClass.MountOptions, func(folder string) error {
		own := filepath.Join(folder, h.subDir)
		if err := os.MkdirAll(own, 0o777); err != nil {
			return mkdirError(err)
		}

		if permissions > 0 {
			_ = os.Chmod(own, permissions) // only logged by csi-driver-nfs
		}

		return nil
	})
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}

	volume := newVolume(o, h)
	secret.note(volume)

	return volume, controller.ProvisioningFinished, nil
}

// Delete removes a volume's sub-directory with its content, unless its handle's onDelete retains it.
func (e exports) Delete(ctx context.Context, volume *v1.PersistentVolume) error {
	if volume.Spec.CSI == nil || volume.Spec.CSI.Driver != driverName {
		return &controller.IgnoredError{Reason: "the volume is not of " + driverName}
	}

	h, err := parseHandle(volume.Spec.CSI.VolumeHandle)
	if err != nil || h.onDelete == "retain" {
		return err
	}

	// Not the volume's own options: csi-driver-nfs, pkg/nfs/controllerserver.go, DeleteVolume.
	options, err := e.mountOptions(ctx, notedOn(volume))
	if err != nil {
		return err
	}

	return h.mounted(ctx, options, func(folder string) error {
		own := filepath.Join(folder, h.subDir)

		if h.onDelete == "archive" {
			return os.Rename(own, filepath.Join(folder, "archived-"+h.subDir))
		}

		return os.RemoveAll(own)
	})
}

// mounted runs work while the export is mounted with the given options.
func (h handle) mounted(ctx context.Context, options []string, work func(folder string) error) error {
	folder, err := os.MkdirTemp("", "export-")
	if err != nil {
		return err
	}

	if err := nfs.Mount(ctx, h.server, "/"+strings.Trim(h.share, "/"), folder, options); err != nil {
		return errors.Join(err, os.Remove(folder))
	}

	return errors.Join(work(folder), nfs.Unmount(folder), os.Remove(folder))
}

// mkdirError leaves out the temporary mount's name, which means nothing to the user.
func mkdirError(err error) error {
	var failed *os.PathError
	if errors.As(err, &failed) {
		return fmt.Errorf("failed to make subdirectory: mkdir %s: %w", filepath.Base(failed.Path), failed.Err)
	}

	return err
}
