package main

import (
	"context"
	"reflect"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestVolumesAreDeletedWithTheOptionsOfTheSecret(t *testing.T) {
	secret := &v1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "options", Namespace: "kube-system"},
		Data:       map[string][]byte{"mountOptions": []byte("nfsvers=3,nolock")},
	}
	e := exports{client: fake.NewClientset(secret)}
	volume := &v1.PersistentVolume{Spec: v1.PersistentVolumeSpec{MountOptions: []string{"nfsvers=4.1"}}}

	if options, err := e.mountOptions(context.Background(), notedOn(volume)); err != nil || options != nil {
		t.Errorf("without a Secret: %v, %v", options, err)
	}

	secretOf(map[string]string{secretNameKey: "options", secretNamespaceKey: "kube-system"}).note(volume)

	options, err := e.mountOptions(context.Background(), notedOn(volume))
	if err != nil || !reflect.DeepEqual(options, []string{"nfsvers=3", "nolock"}) {
		t.Errorf("%v, %v", options, err)
	}

	if _, err := e.mountOptions(context.Background(), secretName{"kube-system", "gone"}); err == nil {
		t.Error("a Secret that is gone is not reported")
	}
}

func TestPermissions(t *testing.T) {
	if mode, err := permissionsOf(map[string]string{"mountPermissions": "0770"}); err != nil || mode != 0o770 {
		t.Errorf("%v, %v", mode, err)
	}

	if _, err := permissionsOf(map[string]string{"mountPermissions": "u+x"}); err == nil {
		t.Error("u+x is accepted")
	}
}
