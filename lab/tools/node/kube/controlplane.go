package kube

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
)

// RunControlPlane runs kube-apiserver, kube-controller-manager and kube-scheduler until the context ends, and
// applies the cluster's first objects once the API answers.
func RunControlPlane(ctx context.Context, o Options) error {
	if err := o.writePKI(); err != nil {
		return err
	}

	if err := o.writePolicies(); err != nil {
		return err
	}

	if err := o.waitForEtcd(ctx); err != nil {
		return err
	}

	admin, err := o.adminClient()
	if err != nil {
		return err
	}

	cluster := o.Config.Cluster()
	processes := []process{
		{"kube-apiserver", cluster.APIServer().Image(), o.apiServerArgs(), admin.ready},
		{"kube-controller-manager", cluster.ControllerManager().Image(), o.controllerManagerArgs(), localHealth(10257)},
		{"kube-scheduler", cluster.Scheduler().Image(), o.schedulerArgs(), localHealth(10259)},
	}

	var wg sync.WaitGroup

	for i, p := range processes {
		wg.Go(func() {
			// The others only fail, and burn processor time, before the API answers.
			if i > 0 && waitReady(ctx, admin) != nil {
				return
			}

			o.supervise(ctx, p)
		})
	}

	wg.Go(func() { o.keepObjects(ctx, admin) })
	wg.Wait()

	return ctx.Err()
}

func waitReady(ctx context.Context, c *client) error {
	for {
		asked, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := c.ready(asked)

		cancel()

		if err == nil {
			return nil
		}

		if ctx.Err() != nil {
			return ctx.Err()
		}

		sleep(ctx, 3*time.Second)
	}
}

// waitForEtcd waits until something listens at the etcd endpoint: starting the API server is dear.
func (o *Options) waitForEtcd(ctx context.Context) error {
	endpoint, err := url.Parse(o.EtcdEndpoint)
	if err != nil {
		return err
	}

	for ctx.Err() == nil {
		conn, err := net.DialTimeout("tcp", endpoint.Host, 5*time.Second)
		if err == nil {
			return conn.Close()
		}

		sleep(ctx, time.Second)
	}

	return ctx.Err()
}

func (o *Options) adminClient() (*client, error) {
	cluster := o.Config.Cluster()

	crt, key, err := issue(cluster.IssuingCA(), subject{name: "talos:admin", organization: []string{"system:masters"}})
	if err != nil {
		return nil, err
	}

	return newClient(o.localServer(), o.acceptedCAs(), crt, key)
}

// localHealth asks a program of this machine for /healthz, which it answers to anybody.
func localHealth(port int) func(ctx context.Context) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // this machine's own
	asker := &http.Client{Transport: transport}

	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:"+strconv.Itoa(port)+"/healthz", nil)
		if err != nil {
			return err
		}

		response, err := asker.Do(request)
		if err != nil {
			return err
		}

		defer response.Body.Close() //nolint:errcheck

		if response.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(response.Body, 500)) //nolint:errcheck

			return fmt.Errorf("%s: %s", response.Status, text)
		}

		return nil
	}
}

func (o *Options) apiServerArgs() map[string]string {
	cluster := o.Config.Cluster()
	pki := func(name string) string { return o.path("pki", name) }
	issuer := strings.TrimSuffix(cluster.Endpoint().String(), "/")

	return merge(map[string]string{
		"advertise-address":                  o.Address.String(),
		"bind-address":                       "0.0.0.0",
		"secure-port":                        strconv.Itoa(cluster.LocalAPIServerPort()),
		"allow-privileged":                   "true",
		"anonymous-auth":                     "false",
		"api-audiences":                      issuer,
		"audit-log-path":                     o.path("audit.log"),
		"audit-log-maxsize":                  "10",
		"audit-log-maxbackup":                "1",
		"audit-policy-file":                  o.path("policies", "audit.json"),
		"admission-control-config-file":      o.path("policies", "admission.json"),
		"authorization-mode":                 "Node,RBAC",
		"client-ca-file":                     pki("ca.crt"),
		"enable-admission-plugins":           "NodeRestriction",
		"enable-bootstrap-token-auth":        "true",
		"encryption-provider-config":         o.path("policies", "encryption.json"),
		"etcd-cafile":                        pki("etcd-ca.crt"),
		"etcd-certfile":                      pki("etcd-client.crt"),
		"etcd-keyfile":                       pki("etcd-client.key"),
		"etcd-servers":                       o.EtcdEndpoint,
		"kubelet-client-certificate":         pki("kubelet-client.crt"),
		"kubelet-client-key":                 pki("kubelet-client.key"),
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"proxy-client-cert-file":             pki("front-proxy-client.crt"),
		"proxy-client-key-file":              pki("front-proxy-client.key"),
		"requestheader-allowed-names":        "front-proxy-client",
		"requestheader-client-ca-file":       pki("aggregator-ca.crt"),
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"service-account-issuer":             issuer,
		"service-account-key-file":           pki("service-account.pub"),
		"service-account-signing-key-file":   pki("service-account.key"),
		"service-cluster-ip-range":           strings.Join(cluster.Network().ServiceCIDRs(), ","),
		"profiling":                          "false",
		"tls-cert-file":                      pki("apiserver.crt"),
		"tls-private-key-file":               pki("apiserver.key"),
	}, cluster.APIServer().ExtraArgs())
}

func (o *Options) controllerManagerArgs() map[string]string {
	cluster := o.Config.Cluster()
	pki := func(name string) string { return o.path("pki", name) }

	return merge(map[string]string{
		"allocate-node-cidrs":              "true",
		"authentication-kubeconfig":        pki("controller-manager.kubeconfig"),
		"authorization-kubeconfig":         pki("controller-manager.kubeconfig"),
		"bind-address":                     "127.0.0.1",
		"cluster-cidr":                     strings.Join(cluster.Network().PodCIDRs(), ","),
		"cluster-signing-cert-file":        pki("ca-issuing.crt"),
		"cluster-signing-key-file":         pki("ca-issuing.key"),
		"configure-cloud-routes":           "false",
		"controllers":                      "*,tokencleaner",
		"kubeconfig":                       pki("controller-manager.kubeconfig"),
		"leader-elect":                     "true",
		"profiling":                        "false",
		"root-ca-file":                     pki("ca.crt"),
		"service-account-private-key-file": pki("service-account.key"),
		"service-cluster-ip-range":         strings.Join(cluster.Network().ServiceCIDRs(), ","),
		"use-service-account-credentials":  "true",
	}, cluster.ControllerManager().ExtraArgs())
}

func (o *Options) schedulerArgs() map[string]string {
	config := o.path("pki", "scheduler.kubeconfig")

	return merge(map[string]string{
		"authentication-kubeconfig": config,
		"authorization-kubeconfig":  config,
		"bind-address":              "127.0.0.1",
		"kubeconfig":                config,
		"leader-elect":              "true",
		"profiling":                 "false",
	}, o.Config.Cluster().Scheduler().ExtraArgs())
}

func merge(args map[string]string, extra map[string][]string) map[string]string {
	for key, values := range extra {
		args[key] = strings.Join(values, ",")
	}

	return args
}

// writePolicies writes the files that say what the API server admits, records and encrypts.
func (o *Options) writePolicies() error {
	cluster := o.Config.Cluster()
	provider := map[string]any{}

	switch {
	case cluster.SecretboxEncryptionSecret() != "":
		provider["secretbox"] = keys("key2", cluster.SecretboxEncryptionSecret())
	case cluster.AESCBCEncryptionSecret() != "":
		provider["aescbc"] = keys("key1", cluster.AESCBCEncryptionSecret())
	}

	providers := []any{map[string]any{"identity": map[string]any{}}}
	if len(provider) > 0 {
		providers = append([]any{provider}, providers...)
	}

	policies := map[string]any{
		"encryption": map[string]any{
			"apiVersion": "apiserver.config.k8s.io/v1",
			"kind":       "EncryptionConfiguration",
			"resources":  []any{map[string]any{"resources": []any{"secrets"}, "providers": providers}},
		},
		"admission": map[string]any{
			"apiVersion": "apiserver.config.k8s.io/v1",
			"kind":       "AdmissionConfiguration",
			"plugins":    plugins(cluster.APIServer().AdmissionControl()),
		},
		"audit": cluster.APIServer().AuditPolicy(),
	}

	for name, policy := range policies {
		text, err := json.Marshal(policy)
		if err != nil {
			return err
		}

		if err := writeFile(o.path("policies", name+".json"), text); err != nil {
			return err
		}
	}

	return nil
}

func keys(name, secret string) map[string]any {
	return map[string]any{"keys": []any{map[string]any{"name": name, "secret": secret}}}
}

func plugins(asked []config.AdmissionPlugin) []any {
	all := []any{}
	for _, plugin := range asked {
		all = append(all, map[string]any{"name": plugin.Name(), "configuration": plugin.Configuration()})
	}

	return all
}
