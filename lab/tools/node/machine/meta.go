package machine

import (
	"encoding/json"
	"errors"
	"os"
)

// metaUpgrade holds the version that an upgrade came from, until the new one has booted successfully.
const metaUpgrade = "upgrade"

// META is a partition of its own in Talos; here it is a file on the state partition, which a reset wipes together with it.
func (m *Machine) meta() map[string]string {
	tags := map[string]string{}

	if data, err := os.ReadFile(m.statePath("meta.json")); err == nil {
		_ = json.Unmarshal(data, &tags) // empty then
	}

	return tags
}

func (m *Machine) readMeta(tag string) (string, bool) {
	value, ok := m.meta()[tag]

	return value, ok
}

// writeMeta sets a tag; an empty value removes it.
func (m *Machine) writeMeta(tag, value string) error {
	tags := m.meta()
	if value == "" {
		delete(tags, tag)
	} else {
		tags[tag] = value
	}

	data, err := json.Marshal(tags)
	if err != nil {
		return err
	}

	err = writeFile(m.statePath("meta.json"), data)
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("the machine has no state partition yet")
	}

	return err
}
