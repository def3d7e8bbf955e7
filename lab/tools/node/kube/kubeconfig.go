package kube

import (
	"bytes"
	"encoding/base64"
	"text/template"

	"github.com/siderolabs/talos/pkg/machinery/config"
)

var kubeconfigTemplate = template.Must(template.New("kubeconfig").Parse(`apiVersion: v1
kind: Config
clusters:
- name: {{.Cluster}}
  cluster:
    server: {{.Server}}
    certificate-authority-data: {{.CA}}
users:
- name: {{.User}}@{{.Cluster}}
  user:
    client-certificate-data: {{.Crt}}
    client-key-data: {{.Key}}
contexts:
- name: {{.User}}@{{.Cluster}}
  context:
    cluster: {{.Cluster}}
    namespace: default
    user: {{.User}}@{{.Cluster}}
current-context: {{.User}}@{{.Cluster}}
`))

func kubeconfig(cluster, server string, ca []byte, user string, crt, key []byte) []byte {
	encode := base64.StdEncoding.EncodeToString

	var out bytes.Buffer

	// The template and its data are ours: it can't fail.
	_ = kubeconfigTemplate.Execute(&out, map[string]string{
		"Cluster": cluster, "Server": server, "CA": encode(ca), "User": user, "Crt": encode(crt), "Key": encode(key),
	})

	return out.Bytes()
}

// AdminKubeconfig is what `talosctl kubeconfig` gives: an administrator's access to the cluster at endpoint.
func AdminKubeconfig(cfg config.Provider, endpoint string) ([]byte, error) {
	cluster := cfg.Cluster()
	admin := cluster.AdminKubeconfig()

	crt, key, err := issue(cluster.IssuingCA(), subject{
		name: admin.CommonName(), organization: []string{admin.CertOrganization()}, ttl: admin.CertLifetime(),
	})
	if err != nil {
		return nil, err
	}

	o := Options{Config: cfg}

	return kubeconfig(cluster.Name(), endpoint, o.acceptedCAs(), "admin", crt, key), nil
}
