package kube_test

import (
	"context"
	stdx509 "crypto/x509"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"

	"talosmith.dev/lab/tools/node/kube"
)

// A control plane and a worker on one machine, with the real programs. Wants KUBELAB (the kubelab program) and
// KUBE_ADDRESSES (two addresses of this machine, in a network namespace of the tester's, with commas).
func TestClusterComesUp(t *testing.T) {
	binary, list := os.Getenv("KUBELAB"), os.Getenv("KUBE_ADDRESSES")
	if binary == "" || list == "" {
		t.Skip("KUBELAB and KUBE_ADDRESSES are not set")
	}

	addresses := strings.Split(list, ",")
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)

	defer cancel()

	bundle := check(secrets.NewBundle(secrets.NewFixedClock(time.Now()), config.TalosVersion1_13))(t)
	input := check(generate.NewInput("test", "https://"+addresses[0]+":6443", "1.36.3",
		generate.WithSecretsBundle(bundle), generate.WithVersionContract(config.TalosVersion1_13)))(t)

	startEtcd(ctx, t, binary, dir, addresses[0], bundle.Certs.Etcd)

	for i, kind := range []machine.Type{machine.TypeControlPlane, machine.TypeWorker} {
		cfg := check(input.Config(kind))(t)
		name := []string{"test-cp1", "test-w1"}[i]
		options := kube.Options{
			Config: cfg, Address: netip.MustParseAddr(addresses[i]), Hostname: name, TalosVersion: "v1.13.9",
			BootID: "boot", Dir: filepath.Join(dir, name), EtcdEndpoint: "https://" + addresses[0] + ":2379",
			Pull:      func(context.Context, string) (string, error) { return binary, nil },
			Log:       func(service string) io.Writer { return logFile(t, dir, name+"-"+service) },
			Service:   func(string, bool, bool, string) {},
			StaticPod: func(pod string, ready bool) { t.Logf("%s ready: %v", pod, ready) },
			NodeReady: func(ready, _ bool) { t.Logf("%s ready: %v", name, ready) },
		}

		if kind == machine.TypeControlPlane {
			text := check(kube.AdminKubeconfig(cfg, "https://"+addresses[0]+":6443"))(t)
			if err := os.WriteFile(filepath.Join(dir, "kubeconfig"), text, 0o600); err != nil {
				t.Fatal(err)
			}

			go func() {
				if err := kube.RunControlPlane(ctx, options); ctx.Err() == nil {
					t.Errorf("control plane: %v", err)
				}
			}()
		}

		go kube.RunKubelet(ctx, options) //nolint:errcheck // ends with the test
	}

	kubectl := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, binary, append([]string{"kubectl", "--kubeconfig", filepath.Join(dir, "kubeconfig")}, args...)...).CombinedOutput()

		return string(out), err
	}

	eventually(ctx, t, "two nodes are Ready", func() (string, bool) {
		out, _ := kubectl("get", "nodes", "-o", "wide")

		return out, strings.Count(out, " Ready ") == 2
	})

	if out, err := kubectl("create", "deployment", "web", "--image=registry.k8s.io/pause:3.10", "--replicas=3"); err != nil {
		t.Fatal(out)
	}

	for _, what := range []string{"deployment/web", "-n=kube-system deployment/coredns", "-n=kube-system daemonset/kube-proxy", "-n=kube-system daemonset/kube-flannel"} {
		if out, err := kubectl(append([]string{"rollout", "status", "--timeout=60s"}, strings.Fields(what)...)...); err != nil {
			t.Fatalf("%s: %s", what, out)
		}
	}

	if out, err := kubectl("delete", "deployment", "web", "--timeout=30s"); err != nil {
		t.Fatal(out)
	}

	eventually(ctx, t, "its pods are gone", func() (string, bool) {
		out, _ := kubectl("get", "pods", "-n", "default")

		return out, strings.Contains(out, "No resources")
	})

	out, _ := kubectl("get", "pods,nodes", "-A", "-o", "wide")
	t.Log("\n" + out)
}

func eventually(ctx context.Context, t *testing.T, what string, ask func() (string, bool)) {
	t.Helper()

	for last := ""; ; time.Sleep(time.Second) {
		out, ok := ask()
		if ok {
			return
		}

		if ctx.Err() != nil {
			t.Fatalf("never: %s\n%s", what, last)
		}

		last = out
	}
}

func startEtcd(ctx context.Context, t *testing.T, binary, dir, address string, pair *x509.PEMEncodedCertificateAndKey) {
	t.Helper()

	ca := check(x509.NewCertificateAuthorityFromCertificateAndKey(pair))(t)
	leaf := check(x509.NewKeyPair(ca, x509.CommonName("etcd"), x509.IPAddresses([]net.IP{net.ParseIP(address)}),
		x509.NotAfter(time.Now().Add(time.Hour)), x509.KeyUsage(stdx509.KeyUsageDigitalSignature),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth, stdx509.ExtKeyUsageClientAuth})))(t)

	for name, content := range map[string][]byte{"ca.crt": ca.CrtPEM, "etcd.crt": leaf.CrtPEM, "etcd.key": leaf.KeyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	url := "https://" + address + ":2379"
	cmd := exec.CommandContext(ctx, binary, "etcd", "--data-dir", filepath.Join(dir, "etcd"),
		"--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", "http://"+address+":2380",
		"--client-cert-auth", "--trusted-ca-file", filepath.Join(dir, "ca.crt"),
		"--cert-file", filepath.Join(dir, "etcd.crt"), "--key-file", filepath.Join(dir, "etcd.key"))
	cmd.Stderr = logFile(t, dir, "etcd")

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func logFile(t *testing.T, dir, name string) io.Writer {
	t.Helper()

	folder := os.Getenv("KUBE_LOGS")
	if folder == "" {
		folder = dir
	}

	file, err := os.OpenFile(filepath.Join(folder, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}

	return file
}

func check[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}

		return value
	}
}
