package images_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"talosmith.dev/lab/tools/node/images"
)

func TestReferences(t *testing.T) {
	for ref, want := range map[string]images.Reference{
		"registry.k8s.io/kube-apiserver:v1.36.3":            {Repository: "registry.k8s.io/kube-apiserver", Name: "kube-apiserver", Tag: "v1.36.3"},
		"localhost:5000/etcd:v3.6.14@sha256:00":             {Repository: "localhost:5000/etcd", Name: "etcd", Tag: "v3.6.14"},
		"factory.talos.dev/nocloud-installer/abcd:v1.13.10": {Repository: "factory.talos.dev/nocloud-installer/abcd", Name: "abcd", Tag: "v1.13.10"},
	} {
		if got, err := images.Parse(ref); err != nil || got != want {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}

	if _, err := images.Parse("localhost:5000/etcd"); err == nil {
		t.Error("no tag: accepted")
	}

	if r, _ := images.Parse("factory.talos.dev/nocloud-installer/abcd:v1"); r.Platform() != "nocloud-installer" || !r.IsInstaller() {
		t.Errorf("%+v", r)
	}
}

func TestOneFilePerDigest(t *testing.T) {
	body := []byte("#!binary")
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/lab/binaries/etcd/v1", "/lab/binaries/kube-scheduler/v2":
			w.Header().Set("X-Sha256", digest)
		case "/lab/binaries/etcd/short":
			w.Header().Set("X-Sha256", "00")
			w.Header().Set("Content-Length", "100")
		default:
			http.NotFound(w, r)

			return
		}

		_, _ = w.Write(body) // a test
	}))
	defer server.Close()

	dir := t.TempDir()
	store := images.New(dir, server.URL)

	for _, ref := range []string{"r/etcd:v1", "r/kube-scheduler:v2"} {
		path, err := store.Binary(context.Background(), ref)
		if err != nil {
			t.Fatal(err)
		}

		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}

	if blobs, _ := os.ReadDir(filepath.Join(dir, "blobs")); len(blobs) != 1 {
		t.Errorf("%d blobs", len(blobs))
	}

	for _, ref := range []string{"r/etcd:none", "r/etcd:short"} {
		if _, err := store.Binary(context.Background(), ref); err == nil {
			t.Errorf("%s: pulled", ref)
		}
	}
}
