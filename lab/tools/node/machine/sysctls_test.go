package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKernelParametersFollowTheConfig(t *testing.T) {
	root := t.TempDir()

	for path, value := range map[string]string{"vm/swappiness": "60\n", "net/ipv4/conf/eth0.5/rp_filter": "0\n"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}

		if err := os.WriteFile(filepath.Join(root, path), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	k := kernelParameters{root: root}

	for _, step := range []struct {
		name   string
		wanted map[string]string
		now    map[string]string
		fails  bool
	}{
		{name: "set", wanted: map[string]string{"vm.swappiness": "10"}, now: map[string]string{"vm/swappiness": "10"}},
		{
			name:   "changed, and one with a dot in a name",
			wanted: map[string]string{"vm.swappiness": "20", "net.ipv4.conf.eth0/5.rp_filter": "1"},
			now:    map[string]string{"vm/swappiness": "20", "net/ipv4/conf/eth0.5/rp_filter": "1"},
		},
		{name: "no longer set", now: map[string]string{"vm/swappiness": "60", "net/ipv4/conf/eth0.5/rp_filter": "0"}},
		{name: "one that the kernel does not have", wanted: map[string]string{"vm.none": "1", "vm.swappiness": "30"}, now: map[string]string{"vm/swappiness": "30"}, fails: true},
	} {
		if err := k.apply(step.wanted); (err != nil) != step.fails {
			t.Errorf("%s: %v", step.name, err)
		}

		for path, value := range step.now {
			data, err := os.ReadFile(filepath.Join(root, path))
			if err != nil || strings.TrimSpace(string(data)) != value {
				t.Errorf("%s: %s is %q, %v", step.name, path, data, err)
			}
		}
	}
}
