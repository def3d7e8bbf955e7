// Package images "pulls" what a guest runs: one binary per digest, taken from the lab's factory by component and version.
package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Info describes the image of this boot.
type Info struct {
	Version    string      `json:"version"`
	Schematic  string      `json:"schematic"`
	Extensions []Extension `json:"extensions"`
	Factory    string      `json:"factory"`
	Broken     bool        `json:"broken"`
}

// Slot is the name under which a machine keeps this image.
func (i Info) Slot() string { return Slot(i.Version, i.Schematic) }

// Slot is the name under which a machine keeps an image: other extensions of the same version are another image.
func Slot(version, schematic string) string {
	return version + "-" + schematic[:min(12, len(schematic))]
}

// Extension is a system extension of the image.
type Extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Has tells whether the image has an extension.
func (i Info) Has(name string) bool {
	for _, e := range i.Extensions {
		if e.Name == name {
			return true
		}
	}

	return false
}

// ReadInfo reads /etc/lab-image.json, or the file that replaces it.
func ReadInfo(path string) (Info, error) {
	var i Info

	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &i)
	}

	return i, err
}

// Store keeps pulled binaries below a folder.
type Store struct {
	dir, factory string
	mu           sync.Mutex
}

// New returns a store; factory is the base URL.
func New(dir, factory string) *Store {
	return &Store{dir: dir, factory: strings.TrimSuffix(factory, "/")}
}

// Reference is an image's name, split.
type Reference struct{ Repository, Name, Tag string }

// Parse splits `registry/path/name:tag@digest`.
func Parse(ref string) (Reference, error) {
	bare, _, _ := strings.Cut(ref, "@")

	colon := strings.LastIndex(bare, ":")
	if colon < 0 || strings.Contains(bare[colon:], "/") {
		return Reference{}, fmt.Errorf("image %q has no tag", ref)
	}

	repository := bare[:colon]

	return Reference{Repository: repository, Name: repository[strings.LastIndex(repository, "/")+1:], Tag: bare[colon+1:]}, nil
}

// IsInstaller tells whether the image is an installer (`nocloud-installer/<schematic>`), whose name is a schematic.
func (r Reference) IsInstaller() bool {
	return strings.Contains(r.Repository, "installer")
}

// Platform is the installer's own name, `nocloud-installer` of `factory.talos.dev/nocloud-installer/<schematic>`.
func (r Reference) Platform() string {
	parts := strings.Split(r.Repository, "/")
	if len(parts) < 2 {
		return r.Name
	}

	return parts[len(parts)-2]
}

// Binary pulls an image that runs as a process, and returns the path of its executable, which is called as the image is.
func (s *Store) Binary(ctx context.Context, ref string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	r, err := Parse(ref)
	if err != nil {
		return "", err
	}

	path := filepath.Join(s.dir, r.Name, r.Tag, r.Name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}

	response, err := s.get(ctx, http.MethodGet, "/lab/binaries/"+r.Name+"/"+r.Tag)
	if err != nil {
		return "", err
	}

	defer response.Body.Close() // read to its end, or not wanted

	digest := response.Header.Get("X-Sha256")
	if digest == "" || strings.ContainsRune(digest, '/') {
		return "", fmt.Errorf("%s has no digest", ref)
	}

	blob := filepath.Join(s.dir, "blobs", digest)

	if _, err := os.Stat(blob); err != nil {
		if err = s.save(response, blob); err != nil {
			return "", err
		}
	}

	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}

	return path, os.Symlink(blob, path)
}

// save writes a body to a file, whole or not at all. The digest is believed: under emulation, adding up 134 MB would take
// longer than fetching them.
func (s *Store) save(response *http.Response, blob string) error {
	if err := os.MkdirAll(filepath.Dir(blob), 0o755); err != nil {
		return err
	}

	f, err := os.CreateTemp(filepath.Dir(blob), ".pull-")
	if err != nil {
		return err
	}

	defer os.Remove(f.Name()) // renamed when all went well

	n, err := io.CopyBuffer(onlyWriter{f}, response.Body, make([]byte, 1<<20))
	if err == nil && n != response.ContentLength {
		err = io.ErrUnexpectedEOF
	}

	if err = errors.Join(err, f.Chmod(0o755), f.Close()); err != nil {
		return err
	}

	return os.Rename(f.Name(), blob)
}

// onlyWriter hides ReadFrom, which would copy in pieces of its own size.
type onlyWriter struct{ io.Writer }

// Check asks the factory for an installer's manifest: an unknown version or extension fails here.
func (s *Store) Check(ctx context.Context, r Reference) error {
	response, err := s.get(ctx, http.MethodGet, "/v2/"+r.Platform()+"/"+r.Name+"/manifests/"+r.Tag)
	if err != nil {
		return err
	}

	return response.Body.Close()
}

// UKI downloads the kernel image that an installer would install.
func (s *Store) UKI(ctx context.Context, r Reference, to io.Writer) error {
	platform := strings.TrimSuffix(r.Platform(), "-installer")

	response, err := s.get(ctx, http.MethodGet, "/image/"+r.Name+"/"+r.Tag+"/"+platform+"-amd64-uki.efi")
	if err != nil {
		return err
	}

	defer response.Body.Close() // read to its end

	n, err := io.CopyBuffer(to, response.Body, make([]byte, 256<<10))
	if err == nil && response.ContentLength >= 0 && n != response.ContentLength {
		err = io.ErrUnexpectedEOF
	}

	return err
}

func (s *Store) get(ctx context.Context, method, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.factory+path, nil)
	if err != nil {
		return nil, err
	}

	// As containerd's resolver asks (core/remotes/docker/resolver.go); registries do not find an index without its type.
	if strings.HasPrefix(path, "/v2/") {
		request.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json, "+
			"application/vnd.docker.distribution.manifest.list.v2+json, "+
			"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*")
	}

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}

	if response.StatusCode != http.StatusOK {
		defer response.Body.Close() // the status counts

		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // the status counts

		return nil, fmt.Errorf("unexpected status from GET request to %s: %s: %s", s.factory+path, response.Status, strings.TrimSpace(string(text)))
	}

	return response, nil
}
