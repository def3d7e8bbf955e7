package machine_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	machinetype "github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talosmith.dev/lab/tools/node/images"
	"talosmith.dev/lab/tools/node/machine"
	"talosmith.dev/lab/tools/node/nocloud"
)

func begin(t *testing.T, address, hostname string) {
	t.Helper()
	beginIn(t, t.TempDir(), address, hostname)
}

// beginIn starts a machine whose disk is a folder.
func beginIn(t *testing.T, dir, address, hostname string, args ...string) {
	t.Helper()

	if l, err := net.Listen("tcp", address+":50000"); err != nil {
		t.Skip(err)
	} else {
		l.Close() // only tried
	}

	paths := machine.Paths{State: filepath.Join(dir, "state"), Var: filepath.Join(dir, "var"), Run: filepath.Join(dir, "run"), Secrets: filepath.Join(dir, "secrets")}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); time.Sleep(200 * time.Millisecond) })

	m, err := machine.New(ctx, machine.Options{
		Host: &machine.Folder{Paths: paths, Root: dir, Address: netip.MustParseAddr(address)}, Paths: paths, Listen: address, Args: args,
		Image: images.Info{Version: "v1.13.9", Schematic: strings.Repeat("ab", 32), Factory: "http://127.0.0.1:1"},
	})
	if err != nil {
		t.Fatal(err)
	}

	m.SetPlatform(nocloud.Metadata{LocalHostname: hostname}, nil)

	go m.Run(ctx) //nolint:errcheck // ends with the test
}

type cluster1 struct {
	bundle   *secrets.Bundle
	configs  map[machinetype.Type][]byte
	endpoint string
}

func newCluster(t *testing.T, endpoint string) cluster1 {
	t.Helper()

	bundle, err := secrets.NewBundle(secrets.NewFixedClock(time.Now()), nil)
	if err != nil {
		t.Fatal(err)
	}

	in, err := generate.NewInput("test", "https://"+endpoint+":6443", constants.DefaultKubernetesVersion, generate.WithSecretsBundle(bundle))
	if err != nil {
		t.Fatal(err)
	}

	c := cluster1{bundle: bundle, configs: map[machinetype.Type][]byte{}, endpoint: endpoint}

	for _, kind := range []machinetype.Type{machinetype.TypeControlPlane, machinetype.TypeWorker} {
		cfg, err := in.Config(kind)
		if err != nil {
			t.Fatal(err)
		}

		if c.configs[kind], err = cfg.Bytes(); err != nil {
			t.Fatal(err)
		}
	}

	return c
}

func (c cluster1) client(t *testing.T, address string, roles ...role.Role) *client.Client {
	t.Helper()

	cert, err := c.bundle.GenerateTalosAPIClientCertificateWithTTL(role.MakeSet(roles...), time.Hour)
	if err != nil {
		t.Fatal(err)
	}

	one, err := client.New(context.Background(), client.WithConfig(clientconfig.NewConfig("test", []string{address}, c.bundle.Certs.OS.Crt, cert)))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { one.Close() }) // the test is over

	return one
}

func insecure(t *testing.T, address string) *client.Client {
	t.Helper()

	c, err := client.New(context.Background(), client.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}), client.WithEndpoints(address))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { c.Close() }) // the test is over

	return c
}

// soon tries until it works, for 20 s at most.
func soon(t *testing.T, what string, do func() error) {
	t.Helper()

	var err error
	for range 100 {
		if err = do(); err == nil {
			return
		}

		time.Sleep(200 * time.Millisecond)
	}

	t.Fatalf("%s: %v", what, err)
}

func code(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()

	if status.Code(err) != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

func TestFromMaintenanceToConfigured(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	const cp, worker = "127.0.0.81", "127.0.0.82"

	begin(t, cp, "cp1")
	begin(t, worker, "w1")

	testCluster := newCluster(t, cp)
	unauthenticated := insecure(t, cp)

	soon(t, "maintenance mode", func() error {
		st, err := safe.StateGetByID[*runtime.MachineStatus](ctx, unauthenticated.COSI, runtime.MachineStatusID)
		if err == nil && st.TypedSpec().Stage != runtime.MachineStageMaintenance {
			err = io.ErrNoProgress
		}

		return err
	})

	if v, err := unauthenticated.Version(ctx); err != nil || v.GetMessages()[0].GetVersion().GetTag() != "v1.13.9" || v.GetMessages()[0].GetFeatures() != nil {
		t.Errorf("version: %v, %v", v, err)
	}

	code(t, "reboot in maintenance", unauthenticated.Reboot(ctx), codes.PermissionDenied)
	code(t, "reset in maintenance", unauthenticated.Reset(ctx, true, false), codes.PermissionDenied)

	_, err := safe.StateListAll[*configres.MachineConfig](ctx, unauthenticated.COSI)
	code(t, "machine configs in maintenance", err, codes.PermissionDenied)

	if err := unauthenticated.COSI.Create(ctx, cluster.NewMember(cluster.NamespaceName, "x")); err == nil || !strings.Contains(err.Error(), "PermissionDenied") {
		t.Errorf("writing a resource: %v", err)
	}

	apply := func(c *client.Client, data []byte, mode machineapi.ApplyConfigurationRequest_Mode, dryRun bool) (*machineapi.ApplyConfiguration, error) {
		r, err := c.ApplyConfiguration(ctx, &machineapi.ApplyConfigurationRequest{Data: data, Mode: mode, DryRun: dryRun})
		if err != nil {
			return nil, err
		}

		return r.GetMessages()[0], nil
	}

	_, err = apply(unauthenticated, []byte(strings.Replace(string(testCluster.configs[machinetype.TypeControlPlane]), "machine:\n", "machine:\n    typo: 1\n", 1)), machineapi.ApplyConfigurationRequest_AUTO, false)
	code(t, "a misspelt key", err, codes.InvalidArgument)

	dry, err := apply(unauthenticated, testCluster.configs[machinetype.TypeControlPlane], machineapi.ApplyConfigurationRequest_REBOOT, true)
	if err != nil || dry.GetMode() != machineapi.ApplyConfigurationRequest_NO_REBOOT || !strings.HasPrefix(dry.GetModeDetails(), "Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\nConfig diff:\n\n") {
		t.Errorf("dry run: %v, %v", dry, err)
	}

	if _, err := apply(unauthenticated, []byte("apiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: other\n"), machineapi.ApplyConfigurationRequest_AUTO, false); err != nil {
		t.Errorf("a partial config: %v", err)
	}

	if _, err := unauthenticated.Version(ctx); err != nil {
		t.Errorf("a partial config keeps the machine in maintenance: %v", err)
	}

	if _, err := apply(unauthenticated, testCluster.configs[machinetype.TypeControlPlane], machineapi.ApplyConfigurationRequest_AUTO, false); err != nil {
		t.Fatal(err)
	}

	if _, err := apply(insecure(t, worker), testCluster.configs[machinetype.TypeWorker], machineapi.ApplyConfigurationRequest_AUTO, false); err != nil {
		t.Fatal(err)
	}

	admin := testCluster.client(t, cp, role.Admin)

	soon(t, "the configured API", func() error {
		_, err := admin.Version(ctx)

		return err
	})

	if _, err := insecure(t, cp).Version(ctx); err == nil {
		t.Error("no client certificate, and still served")
	}

	t.Run("roles", func(t *testing.T) {
		reader, operator := testCluster.client(t, cp, role.Reader), testCluster.client(t, cp, role.Operator)

		if _, err := reader.Version(ctx); err != nil {
			t.Error(err)
		}

		_, err := reader.Kubeconfig(ctx)
		code(t, "a reader's kubeconfig", err, codes.PermissionDenied)

		_, err = apply(operator, testCluster.configs[machinetype.TypeControlPlane], machineapi.ApplyConfigurationRequest_AUTO, true)
		code(t, "an operator's config", err, codes.PermissionDenied)

		if list, err := safe.StateListAll[*configres.MachineConfig](ctx, admin.COSI); err != nil || list.Len() != 2 {
			t.Errorf("machine configs: %d, %v", list.Len(), err)
		}
	})

	t.Run("modes", func(t *testing.T) {
		same, err := apply(admin, testCluster.configs[machinetype.TypeControlPlane], machineapi.ApplyConfigurationRequest_AUTO, true)
		if err != nil || !strings.HasSuffix(same.GetModeDetails(), "No changes.") {
			t.Errorf("%v, %v", same, err)
		}

		other := testCluster.configs[machinetype.TypeWorker]

		_, err = apply(admin, other, machineapi.ApplyConfigurationRequest_NO_REBOOT, false)
		code(t, "another type without a reboot", err, codes.InvalidArgument)

		auto, err := apply(admin, other, machineapi.ApplyConfigurationRequest_AUTO, true)
		if err != nil || auto.GetMode() != machineapi.ApplyConfigurationRequest_REBOOT || !strings.Contains(auto.GetModeDetails(), "Applied configuration with a reboot (skipped in dry-run).") {
			t.Errorf("%v, %v", auto, err)
		}

		tried, err := apply(admin, testCluster.configs[machinetype.TypeControlPlane], machineapi.ApplyConfigurationRequest_TRY, false)
		if err != nil || !strings.Contains(tried.GetModeDetails(), "automatically reverted back in 1m0s") {
			t.Errorf("%v, %v", tried, err)
		}

		_, err = apply(admin, []byte("apiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: x\n"), machineapi.ApplyConfigurationRequest_AUTO, false)
		code(t, "a partial config on a configured machine", err, codes.InvalidArgument)
	})

	t.Run("events", func(t *testing.T) {
		stream, err := admin.MachineClient.Events(ctx, &machineapi.EventsRequest{TailEvents: -1})
		if err != nil {
			t.Fatal(err)
		}

		hello, err := stream.Recv()
		if err != nil || hello.GetData().GetTypeUrl() != "" {
			t.Errorf("the first event is empty: %v, %v", hello, err)
		}

		next, err := stream.Recv()
		if err != nil || !strings.HasPrefix(next.GetData().GetTypeUrl(), "talos/runtime/machine.") {
			t.Errorf("%v, %v", next, err)
		}
	})

	t.Run("routing", func(t *testing.T) {
		soon(t, "the worker's API", func() error {
			r, err := admin.Version(client.WithNodes(ctx, worker))
			if err == nil && len(r.GetMessages()) != 1 {
				err = io.ErrNoProgress
			}

			return err
		})

		many, err := admin.Version(client.WithNodes(ctx, cp, worker))
		if err != nil || len(many.GetMessages()) != 2 {
			t.Fatalf("%v, %v", many, err)
		}

		hosts := map[string]bool{}
		for _, m := range many.GetMessages() {
			hosts[m.GetMetadata().GetHostname()] = true
		}

		if !hosts[cp] || !hosts[worker] {
			t.Errorf("every answer names its node: %v", hosts)
		}

		some, err := admin.ServiceList(client.WithNodes(ctx, cp, "127.0.0.83"))
		if err == nil || len(some.GetMessages()) != 1 {
			t.Errorf("a node that is down is an error beside the others' answers: %v, %v", some, err)
		}

		name, err := admin.MachineClient.Hostname(client.WithNode(ctx, worker), nil)
		if err != nil || name.GetMessages()[0].GetHostname() != "w1" || name.GetMessages()[0].GetMetadata() != nil {
			t.Errorf("one node: %v, %v", name, err)
		}

		_, err = admin.COSI.List(client.WithNodes(ctx, cp, worker), cluster.NewMember(cluster.NamespaceName, "").Metadata())
		code(t, "many nodes for a resource", err, codes.InvalidArgument)

		direct := testCluster.client(t, worker, role.Admin)
		if _, err := direct.Version(client.WithNodes(ctx, worker)); err != nil {
			t.Errorf("a worker answers for itself: %v", err)
		}

		_, err = direct.Version(client.WithNode(ctx, cp))
		code(t, "a worker forwards nothing", err, codes.PermissionDenied)

		members, err := safe.StateListAll[*cluster.Member](ctx, admin.COSI)
		if err != nil || members.Len() < 1 {
			t.Errorf("members: %d, %v", members.Len(), err)
		}
	})

	t.Run("what a worker is not", func(t *testing.T) {
		_, err := admin.EtcdMemberList(client.WithNode(ctx, worker), &machineapi.EtcdMemberListRequest{})
		code(t, "etcd on a worker", err, codes.Unimplemented)
		code(t, "bootstrap on a worker", admin.Bootstrap(client.WithNode(ctx, worker), &machineapi.BootstrapRequest{}), codes.Unimplemented)
	})

	t.Run("missing things are reported", func(t *testing.T) {
		_, err := admin.MachineClient.Netstat(ctx, &machineapi.NetstatRequest{})
		code(t, "netstat", err, codes.Unimplemented)
	})

	t.Run("files", func(t *testing.T) {
		file, err := admin.Read(ctx, "/proc/sys/kernel/random/boot_id")
		if err != nil {
			t.Fatal(err)
		}

		if text, err := io.ReadAll(file); err != nil || len(strings.TrimSpace(string(text))) != 36 {
			t.Errorf("%q, %v", text, err)
		}

		stream, err := admin.MachineClient.Logs(ctx, &machineapi.LogsRequest{Namespace: constants.SystemContainerdNamespace, Id: "nope", Driver: common.ContainerDriver_CONTAINERD, TailLines: -1})
		if err == nil {
			_, err = stream.Recv()
		}

		if err == nil {
			t.Error("a log that does not exist was read")
		}
	})

	if _, err := admin.COSI.Get(ctx, runtime.NewMachineStatus().Metadata()); err != nil || state.IsNotFoundError(err) {
		t.Error(err)
	}

}

func TestAConfigWithoutStateIsInMemoryOnly(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	const cp = "127.0.0.84"

	dir := t.TempDir()
	beginIn(t, dir, cp, "cp1", "lab.state=fails")

	testCluster := newCluster(t, cp)
	unauthenticated := insecure(t, cp)

	soon(t, "the config to be applied", func() error {
		_, err := unauthenticated.ApplyConfiguration(ctx, &machineapi.ApplyConfigurationRequest{Data: testCluster.configs[machinetype.TypeControlPlane]})

		return err
	})

	admin := testCluster.client(t, cp, role.Admin)

	soon(t, "the failure to be shown behind the certificate of the config", func() error {
		volume, err := safe.StateGetByID[*block.VolumeStatus](ctx, admin.COSI, "STATE")
		if err == nil && (volume.TypedSpec().Phase != block.VolumePhaseFailed || volume.TypedSpec().ErrorMessage == "") {
			err = io.ErrNoProgress
		}

		return err
	})

	if _, err := os.Stat(filepath.Join(dir, "state")); !os.IsNotExist(err) {
		t.Errorf("a restart would find its config, and not end in maintenance mode: %v", err)
	}

	if st, err := safe.StateGetByID[*runtime.MachineStatus](ctx, admin.COSI, runtime.MachineStatusID); err != nil || st.TypedSpec().Stage != runtime.MachineStageBooting {
		t.Errorf("the boot is over: %v, %v", st, err)
	}
}
