package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Of kubernetes-csi/external-provisioner, pkg/controller/controller.go: the parameters that name the provisioner's Secret,
// and the annotations that keep it for the volume's deletion.
const (
	secretNameKey         = "csi.storage.k8s.io/provisioner-secret-name"
	secretNamespaceKey    = "csi.storage.k8s.io/provisioner-secret-namespace"
	deletionNameNote      = "volume.kubernetes.io/provisioner-deletion-secret-name"
	deletionNamespaceNote = "volume.kubernetes.io/provisioner-deletion-secret-namespace"
)

// secretName names the provisioner's Secret; empty: there is none.
type secretName struct{ namespace, name string }

func secretOf(parameters map[string]string) secretName {
	return secretName{parameters[secretNamespaceKey], parameters[secretNameKey]}
}

func notedOn(volume *v1.PersistentVolume) secretName {
	return secretName{volume.Annotations[deletionNamespaceNote], volume.Annotations[deletionNameNote]}
}

func (s secretName) note(volume *v1.PersistentVolume) {
	if s.name == "" {
		return
	}

	metav1.SetMetaDataAnnotation(&volume.ObjectMeta, deletionNameNote, s.name)
	metav1.SetMetaDataAnnotation(&volume.ObjectMeta, deletionNamespaceNote, s.namespace)
}

// mountOptions are the options in a Secret, as csi-driver-nfs reads them (pkg/nfs/nfs.go, getMountOptions): any case of
// the key. Without a Secret there are none.
func (e exports) mountOptions(ctx context.Context, s secretName) ([]string, error) {
	if s.name == "" {
		return nil, nil
	}

	secret, err := e.client.CoreV1().Secrets(s.namespace).Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("error getting secret %s in namespace %s: %w", s.name, s.namespace, err)
	}

	for key, value := range secret.Data {
		if strings.EqualFold(key, "mountOptions") && len(value) > 0 {
			return strings.Split(string(value), ","), nil
		}
	}

	return nil, nil
}

// permissionsOf is the class' mountPermissions, in octal; 0 leaves the folder as it was made.
func permissionsOf(parameters map[string]string) (os.FileMode, error) {
	for key, value := range parameters {
		if strings.EqualFold(key, "mountPermissions") && value != "" {
			mode, err := strconv.ParseUint(value, 8, 32)
			if err != nil {
				return 0, fmt.Errorf("invalid mountPermissions %s in storage class", value)
			}

			return os.FileMode(mode), nil
		}
	}

	return 0, nil
}
