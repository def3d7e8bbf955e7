package main

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func options(parameters map[string]string) controller.ProvisionOptions {
	return controller.ProvisionOptions{
		PVName: "pvc-1", PVC: &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "web"}},
		StorageClass: &storage.StorageClass{Parameters: parameters},
	}
}

func TestHandleNamesServerShareAndSubDirectory(t *testing.T) {
	for _, row := range []struct {
		name, want string
		parameters map[string]string
	}{
		{"without subDir", "s#srv/a#pvc-1##", map[string]string{"server": "s", "share": "/srv/a"}},
		{
			"with a template", "s#srv/a#web-data-pvc-1##",
			map[string]string{"server": "s", "share": "/srv/a/", "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}"},
		},
		{"with onDelete", "s#a#pvc-1##retain", map[string]string{"server": "s", "share": "a", "onDelete": "retain"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h, err := newHandle(options(row.parameters))
			if err != nil || h.String() != row.want {
				t.Fatalf("%v, %v, want %s", h, err, row.want)
			}

			back, err := parseHandle(h.String())
			if err != nil || back.String() != row.want {
				t.Fatalf("read back: %v, %v", back, err)
			}
		})
	}
}

func TestSubDirectoriesOutsideTheExportAreRefused(t *testing.T) {
	for _, sub := range []string{"..", "../other", "a/../..", ".", "/"} {
		if _, err := newHandle(options(map[string]string{"server": "s", "share": "/a", "subDir": sub})); err == nil {
			t.Errorf("%q was taken", sub)
		}
	}

	if _, err := parseHandle("s#share"); err == nil {
		t.Error("a handle without a sub-directory was taken")
	}
}
