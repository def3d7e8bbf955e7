package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// kernelParameters writes sysctls below a folder, which is /proc/sys in a guest.
type kernelParameters struct {
	root string
	// before has the values that were replaced, by key.
	before map[string]string
}

// apply makes the parameters those of a config. One that the config no longer has gets its former value, as
// KernelParamSpecController does (internal/app/machined/pkg/controllers/runtime/kernel_param_spec.go).
func (k *kernelParameters) apply(wanted map[string]string) error {
	var problems []error

	for key, former := range k.before {
		if _, ok := wanted[key]; ok {
			continue
		}

		problems = append(problems, k.write(key, former))
		delete(k.before, key)
	}

	for key, value := range wanted {
		if _, known := k.before[key]; !known {
			former, err := os.ReadFile(k.path(key))
			if err != nil {
				problems = append(problems, err)

				continue
			}

			if k.before == nil {
				k.before = map[string]string{}
			}

			k.before[key] = strings.TrimSpace(string(former))
		}

		problems = append(problems, k.write(key, value))
	}

	return errors.Join(problems...)
}

func (k *kernelParameters) write(key, value string) error {
	if err := os.WriteFile(k.path(key), []byte(value), 0o644); err != nil {
		return fmt.Errorf("kernel parameter %s: %w", key, err)
	}

	return nil
}

// path is the file of a parameter. A slash in a key stands for a dot in a name, such as that of a VLAN.
func (k *kernelParameters) path(key string) string {
	parts := strings.Split(key, ".")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(part, "/", ".")
	}

	return filepath.Join(append([]string{k.root}, parts...)...)
}
