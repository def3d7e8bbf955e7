package kube

import (
	"encoding/json"
	"maps"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
)

// writePolicies writes the files that configure what the API server admits, allows, audits and encrypts, and how the
// scheduler works. It returns the content by reader: "api" and "scheduler".
func (o *Options) writePolicies() (map[string]string, error) {
	cluster := o.Config.Cluster()
	files := []struct {
		reader, name string
		content      any
	}{
		{"api", "encryption", o.encryption()},
		{"api", "admission", object{
			"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
			"plugins": admissionPlugins(cluster.APIServer().AdmissionControl()),
		}},
		{"api", "authorization", object{
			"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration",
			"authorizers": authorizers(cluster.APIServer().AuthorizationConfig()),
		}},
		{"api", "audit", cluster.APIServer().AuditPolicy()},
		{"scheduler", "scheduler", o.schedulerConfig()},
	}

	contents := map[string]string{}

	for _, file := range files {
		text, err := json.Marshal(file.content)
		if err != nil {
			return nil, err
		}

		if err := writeFile(o.path("policies", file.name+".json"), text); err != nil {
			return nil, err
		}

		contents[file.reader] += string(text)
	}

	return contents, nil
}

func (o *Options) encryption() object {
	cluster := o.Config.Cluster()
	provider := func(kind, name, secret string) object {
		return object{kind: object{"keys": []any{object{"name": name, "secret": secret}}}}
	}

	var providers []any

	if secret := cluster.SecretboxEncryptionSecret(); secret != "" {
		providers = append(providers, provider("secretbox", "key2", secret))
	}

	if secret := cluster.AESCBCEncryptionSecret(); secret != "" {
		providers = append(providers, provider("aescbc", "key1", secret))
	}

	return object{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
		"resources": []any{object{
			"resources": []any{"secrets"},
			"providers": append(providers, object{"identity": object{}}),
		}},
	}
}

func (o *Options) schedulerConfig() object {
	all := object{}
	maps.Copy(all, o.Config.Cluster().Scheduler().Config())
	all["apiVersion"] = "kubescheduler.config.k8s.io/v1"
	all["kind"] = "KubeSchedulerConfiguration"

	connection, _ := all["clientConnection"].(object)
	if connection == nil {
		connection = object{}
	}

	connection["kubeconfig"] = o.path("pki", "scheduler.kubeconfig")
	all["clientConnection"] = connection

	return all
}

func admissionPlugins(configured []config.AdmissionPlugin) []any {
	all := []any{}
	for _, plugin := range configured {
		all = append(all, object{"name": plugin.Name(), "configuration": plugin.Configuration()})
	}

	return all
}

// authorizers are those of the machine config, with Node and RBAC in front where it doesn't name them.
func authorizers(configured []config.AuthorizationConfigAuthorizer) []any {
	named := map[string]bool{}

	var all, first []any

	for _, one := range configured {
		named[one.Type()] = true
		entry := object{"type": one.Type(), "name": one.Name()}

		if webhook := one.Webhook(); len(webhook) > 0 {
			entry["webhook"] = webhook
		}

		all = append(all, entry)
	}

	for _, one := range []object{{"type": "Node", "name": "node"}, {"type": "RBAC", "name": "rbac"}} {
		if kind, _ := one["type"].(string); !named[kind] {
			first = append(first, one)
		}
	}

	return append(first, all...)
}
