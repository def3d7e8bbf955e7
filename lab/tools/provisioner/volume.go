package main

import (
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// newVolume is the PersistentVolume of a sub-directory, with the attributes that csi-driver-nfs gives it.
func newVolume(o controller.ProvisionOptions, h handle) *v1.PersistentVolume {
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    o.PVC.Spec.VolumeMode,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: o.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{
				Driver: driverName, VolumeHandle: h.String(),
				VolumeAttributes: map[string]string{
					"server": h.server, "share": h.share, "subdir": h.subDir,
					"csi.storage.k8s.io/pvc/name": o.PVC.Name, "csi.storage.k8s.io/pvc/namespace": o.PVC.Namespace, "csi.storage.k8s.io/pv/name": o.PVName,
				},
			}},
		},
	}
}
