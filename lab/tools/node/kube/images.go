package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// program is what a container runs: files of this machine that its root folder shows, and the image's own command.
type program struct {
	files      map[string]string
	entrypoint []string
}

// knownImage is what containers of an image do here. Those of all other images are shown as running, and nothing runs.
type knownImage struct {
	// program makes the container a real process.
	program func(ctx context.Context, c *containerRun) (program, error)
	// isPrivileged keeps the process' capabilities, whatever the pod sets.
	isPrivileged bool
	// whileRunning is called when the container starts; it sees to its own end with the context.
	whileRunning func(ctx context.Context, c *containerRun)
}

// knownImages by repository, whatever the tag.
var knownImages = map[string]knownImage{
	"docker.io/library/busybox":                             {program: busybox},
	"registry.k8s.io/e2e-test-images/busybox":               {program: busybox},
	"registry.k8s.io/sig-storage/csi-provisioner":           {program: pulled, isPrivileged: true},
	"registry.k8s.io/sig-storage/csi-node-driver-registrar": {whileRunning: registerDriver},
}

// busyboxPath is where the guest has a real busybox.
const busyboxPath = "/bin/busybox"

var busyboxApplets = sync.OnceValues(func() ([]string, error) {
	text, err := exec.Command(busyboxPath, "--list").Output()
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("not found")
	}

	return strings.Fields(string(text)), err
})

// busybox is a root folder whose /bin is one busybox under all its names.
func busybox(_ context.Context, c *containerRun) (program, error) {
	applets, err := busyboxApplets()
	if err != nil {
		return program{}, err
	}

	bin := c.run.rt.path("images", "busybox", "bin")
	if _, err := os.Stat(filepath.Join(bin, ".complete")); err == nil {
		return program{files: map[string]string{"/bin": bin}, entrypoint: []string{"sh"}}, nil
	}

	temporary := fmt.Sprintf("%s.%s.tmp", bin, c.run.uid)
	if err := os.MkdirAll(temporary, 0o755); err != nil {
		return program{}, err
	}

	content, err := os.ReadFile(busyboxPath)
	if err == nil {
		err = os.WriteFile(filepath.Join(temporary, "busybox"), content, 0o755) //nolint:gosec // a program
	}

	for _, applet := range applets {
		if err == nil && applet != "busybox" {
			err = os.Symlink("busybox", filepath.Join(temporary, applet))
		}
	}

	if err == nil {
		err = os.WriteFile(filepath.Join(temporary, ".complete"), nil, 0o600)
	}

	if err != nil {
		return program{}, errors.Join(err, os.RemoveAll(temporary))
	}

	// Two pods may come here at once: the second finds the folder made.
	if err := os.Rename(temporary, bin); err != nil {
		if err := os.RemoveAll(temporary); err != nil {
			return program{}, err
		}
	}

	return program{files: map[string]string{"/bin": bin}, entrypoint: []string{"sh"}}, nil
}

// pulled is a program that the platform pulls, called by the image's name.
func pulled(ctx context.Context, c *containerRun) (program, error) {
	path, err := c.run.rt.Pull(ctx, c.spec.Image)
	if err != nil {
		return program{}, err
	}

	repository := repositoryOf(c.spec.Image)
	name := "/" + repository[strings.LastIndex(repository, "/")+1:]

	return program{files: map[string]string{name: path}, entrypoint: []string{name}}, nil
}
