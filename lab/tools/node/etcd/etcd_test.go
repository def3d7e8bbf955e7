package etcd_test

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talosmith.dev/lab/tools/node/etcd"
	"talosmith.dev/lab/tools/node/services"
)

// binary is the real etcd: LAB_ETCD names it (the kubelab binary will do, under the name etcd).
func binary(t *testing.T) string {
	t.Helper()

	path := os.Getenv("LAB_ETCD")
	if path == "" {
		if path, _ = exec.LookPath("etcd"); path == "" { // skipped
			t.Skip("LAB_ETCD names no etcd")
		}
	}

	return path
}

type member struct {
	*etcd.Service
	services *services.Registry
}

func start(t *testing.T, ctx context.Context, ca *x509.PEMEncodedCertificateAndKey, address string, peers ...string) member {
	t.Helper()

	path, dir := binary(t), t.TempDir()
	ctx, cancel := context.WithCancel(ctx)
	registry := services.New(func(string, *machine.ServiceStateEvent) {})
	s := etcd.New(etcd.Options{
		Name: "cp-" + address, Address: netip.MustParseAddr(address), CA: ca, Image: "etcd", DataDir: filepath.Join(dir, "etcd"), PKIDir: filepath.Join(dir, "pki"),
		Peers: func() (all []netip.Addr) {
			for _, p := range peers {
				all = append(all, netip.MustParseAddr(p))
			}

			return all
		},
		Pull: func(context.Context, string) (string, error) { return path, nil },
		Log:  io.Discard, Services: registry,
	})

	ended := make(chan struct{})

	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })

	return member{s, registry}
}

func (m member) waitUp(t *testing.T) {
	t.Helper()

	for range 600 {
		if _, healthy, _, _ := m.services.State(etcd.ID); healthy {
			return
		}

		time.Sleep(100 * time.Millisecond)
	}

	t.Fatalf("%s is not healthy: %v", m.Name(), m.services.List())
}

func TestBootstrapJoinForfeitLeaveRecover(t *testing.T) {
	binary(t)

	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()

	authority, err := x509.NewSelfSignedCertificateAuthority(x509.Organization("etcd"), x509.ECDSA(true))
	if err != nil {
		t.Fatal(err)
	}

	ca := &x509.PEMEncodedCertificateAndKey{Crt: authority.CrtPEM, Key: authority.KeyPEM}

	one := start(t, ctx, ca, "127.0.0.71", "127.0.0.72")
	two := start(t, ctx, ca, "127.0.0.72", "127.0.0.71")

	time.Sleep(time.Second)

	if err := one.Bootstrap(false, false); err != nil {
		t.Fatal(err)
	}

	one.waitUp(t)

	if err := one.Bootstrap(false, false); status.Code(err) != codes.AlreadyExists {
		t.Errorf("a second bootstrap: %v", err)
	}

	if _, err := one.Forfeit(ctx); err == nil && len(members(t, one)) == 1 {
		t.Error("a single member cannot forfeit")
	}

	two.waitUp(t)

	for range 100 {
		if list := members(t, one); len(list) == 2 && !list[0] && !list[1] {
			break
		}

		time.Sleep(200 * time.Millisecond)
	}

	if err := one.ValidateForUpgrade(ctx); err == nil {
		t.Error("two members must not be upgraded")
	}

	if to, err := one.Forfeit(ctx); err != nil || to != two.Name() {
		t.Errorf("forfeit to %q: %v", to, err)
	}

	client, err := two.Client(false)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := client.Put(ctx, "kept", "yes"); err != nil {
		t.Fatal(err)
	}

	copied, err := client.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}

	saved, err := io.ReadAll(copied)
	if err != nil || len(saved)%512 != 32 {
		t.Fatalf("%d bytes, %v", len(saved), err)
	}

	client.Close() // done with it

	if err := two.Leave(ctx); err != nil {
		t.Fatal(err)
	}

	if list := members(t, one); len(list) != 1 {
		t.Errorf("%d members after one left", len(list))
	}

	if err := one.Stop(ctx); err != nil {
		t.Fatal(err)
	}

	if err := two.SaveRecovery(bytes.NewReader(saved)); err != nil {
		t.Fatal(err)
	}

	if err := two.Bootstrap(true, false); err != nil {
		t.Fatal(err)
	}

	two.waitUp(t)

	client, err = two.Client(false)
	if err != nil {
		t.Fatal(err)
	}

	defer client.Close() // done with it

	if r, err := client.Get(ctx, "kept"); err != nil || len(r.Kvs) != 1 {
		t.Errorf("recovered: %v, %v", r, err)
	}
}

// members tells of every member whether it is a learner.
func members(t *testing.T, m member) []bool {
	t.Helper()

	client, err := m.Client(false)
	if err != nil {
		t.Fatal(err)
	}

	defer client.Close() // done with it

	list, err := client.MemberList(context.Background())
	if err != nil {
		return nil
	}

	var learners []bool
	for _, one := range list.Members {
		learners = append(learners, one.IsLearner)
	}

	return learners
}
