package kube

import (
	"slices"
	"strconv"
	"strings"
)

// Flags as Talos gives them, except that paths are this machine's, that addresses are explicit because the guest has
// no default route, and that audit logs are kept small.
// https://github.com/siderolabs/talos/blob/v1.13.9/internal/app/machined/pkg/controllers/k8s/control_plane_static_pod.go

// additive flags take the machine config's values after Talos' own; all others are replaced by them.
var additive = []string{"enable-admission-plugins", "feature-gates", "authorization-mode", "tls-cipher-suites", "controllers"}

// The defaults (15, 10 and 2 s) end a leader whose emulated API server stalls for ten seconds, and restarting it is expensive.
const (
	leaseDuration = "45s"
	renewDeadline = "35s"
	retryPeriod   = "5s"
)

func (o *Options) apiServerArgs() map[string][]string {
	cluster := o.Config.Cluster()
	pki := func(name string) []string { return []string{o.path("pki", name)} }
	one := func(value string) []string { return []string{value} }
	issuer := one(o.endpoint())

	args := map[string][]string{
		"admission-control-config-file":      one(o.path("policies", "admission.json")),
		"advertise-address":                  one(o.Address.String()),
		"allow-privileged":                   one("true"),
		"anonymous-auth":                     one("false"),
		"api-audiences":                      issuer,
		"audit-log-maxbackup":                one("1"),
		"audit-log-maxsize":                  one("10"),
		"audit-log-path":                     one(o.path("audit.log")),
		"audit-policy-file":                  one(o.path("policies", "audit.json")),
		"bind-address":                       one("0.0.0.0"),
		"client-ca-file":                     pki("ca.crt"),
		"enable-admission-plugins":           one("NodeRestriction"),
		"enable-bootstrap-token-auth":        one("true"),
		"encryption-provider-config":         one(o.path("policies", "encryption.json")),
		"etcd-cafile":                        pki("etcd-ca.crt"),
		"etcd-certfile":                      pki("etcd-client.crt"),
		"etcd-keyfile":                       pki("etcd-client.key"),
		"etcd-servers":                       one(o.EtcdEndpoint),
		"kubelet-client-certificate":         pki("kubelet-client.crt"),
		"kubelet-client-key":                 pki("kubelet-client.key"),
		"kubelet-preferred-address-types":    one("InternalIP,ExternalIP,Hostname"),
		"profiling":                          one("false"),
		"proxy-client-cert-file":             pki("front-proxy-client.crt"),
		"proxy-client-key-file":              pki("front-proxy-client.key"),
		"requestheader-allowed-names":        one("front-proxy-client"),
		"requestheader-client-ca-file":       pki("aggregator-ca.crt"),
		"requestheader-extra-headers-prefix": one("X-Remote-Extra-"),
		"requestheader-group-headers":        one("X-Remote-Group"),
		"requestheader-username-headers":     one("X-Remote-User"),
		"secure-port":                        one(strconv.Itoa(cluster.LocalAPIServerPort())),
		"service-account-issuer":             issuer,
		"service-account-key-file":           pki("service-account.pub"),
		"service-account-signing-key-file":   pki("service-account.key"),
		"service-cluster-ip-range":           one(strings.Join(cluster.Network().ServiceCIDRs(), ",")),
		"tls-cert-file":                      pki("apiserver.crt"),
		"tls-min-version":                    one("VersionTLS12"),
		"tls-private-key-file":               pki("apiserver.key"),
	}

	extra := cluster.APIServer().ExtraArgs()
	if usesAuthorizationFlags(extra) {
		args["authorization-mode"] = one("Node,RBAC")
	} else {
		args["authorization-config"] = one(o.path("policies", "authorization.json"))
	}

	return mergeArgs(args, extra)
}

// usesAuthorizationFlags tells whether the machine config sets authorization by flags, which exclude the file.
func usesAuthorizationFlags(extra map[string][]string) bool {
	for key := range extra {
		if key == "authorization-mode" || strings.HasPrefix(key, "authorization-webhook-") {
			return true
		}
	}

	return false
}

func (o *Options) controllerManagerArgs() map[string][]string {
	cluster := o.Config.Cluster()
	pki := func(name string) []string { return []string{o.path("pki", name)} }
	one := func(value string) []string { return []string{value} }
	access := pki("controller-manager.kubeconfig")

	return mergeArgs(map[string][]string{
		"allocate-node-cidrs":              one("true"),
		"authentication-kubeconfig":        access,
		"authorization-kubeconfig":         access,
		"bind-address":                     one("127.0.0.1"),
		"cluster-cidr":                     one(strings.Join(cluster.Network().PodCIDRs(), ",")),
		"cluster-signing-cert-file":        pki("ca-issuing.crt"),
		"cluster-signing-key-file":         pki("ca-issuing.key"),
		"configure-cloud-routes":           one("false"),
		"controllers":                      one("*,tokencleaner"),
		"kubeconfig":                       access,
		"leader-elect":                     one("true"),
		"leader-elect-lease-duration":      one(leaseDuration),
		"leader-elect-renew-deadline":      one(renewDeadline),
		"leader-elect-retry-period":        one(retryPeriod),
		"profiling":                        one("false"),
		"root-ca-file":                     pki("ca-issuing.crt"),
		"service-account-private-key-file": pki("service-account.key"),
		"service-cluster-ip-range":         one(strings.Join(cluster.Network().ServiceCIDRs(), ",")),
		"tls-min-version":                  one("VersionTLS13"),
		"use-service-account-credentials":  one("true"),
	}, cluster.ControllerManager().ExtraArgs())
}

func (o *Options) schedulerArgs() map[string][]string {
	access := []string{o.path("pki", "scheduler.kubeconfig")}

	return mergeArgs(map[string][]string{
		"authentication-kubeconfig":              access,
		"authentication-tolerate-lookup-failure": {"false"},
		"authorization-kubeconfig":               access,
		"bind-address":                           {"127.0.0.1"},
		"config":                                 {o.path("policies", "scheduler.json")},
		"leader-elect":                           {"true"},
		"leader-elect-lease-duration":            {leaseDuration},
		"leader-elect-renew-deadline":            {renewDeadline},
		"leader-elect-retry-period":              {retryPeriod},
		"profiling":                              {"false"},
		"tls-min-version":                        {"VersionTLS13"},
	}, o.Config.Cluster().Scheduler().ExtraArgs())
}

func mergeArgs(args, extra map[string][]string) map[string][]string {
	for key, values := range extra {
		if own, ok := args[key]; ok && slices.Contains(additive, key) {
			values = []string{strings.Join(append(slices.Clone(own), values...), ",")}
		}

		args[key] = values
	}

	return args
}

// flags are arguments as a command line, in a fixed order.
func flags(args map[string][]string) []string {
	var all []string

	for key, values := range args {
		for _, value := range values {
			all = append(all, "--"+key+"="+value)
		}
	}

	slices.Sort(all)

	return all
}
