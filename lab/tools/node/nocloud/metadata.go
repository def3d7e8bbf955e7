// Package nocloud reads a NoCloud seed as Talos does, silences and refusals included.
package nocloud

import (
	"bytes"
	"errors"

	"go.yaml.in/yaml/v4"
	"golang.org/x/mod/semver"
)

// Metadata is the part of meta-data that Talos looks at.
type Metadata struct {
	Hostname       string `yaml:"hostname"`
	LocalHostname  string `yaml:"local-hostname"`
	PublicHostname string `yaml:"public-hostname"`
	InstanceID     string `yaml:"instance-id"`
	InstanceType   string `yaml:"instance-type"`
	ProviderID     string `yaml:"provider-id"`
	Region         string `yaml:"region"`
	Zone           string `yaml:"zone"`
}

// Name is the hostname that meta-data gives: hostname, else local-hostname.
func (m Metadata) Name() string {
	if m.Hostname != "" {
		return m.Hostname
	}

	return m.LocalHostname
}

// ParseMetadata reads meta-data as a version of Talos does; of a broken document, what could be read is used without
// a warning, as in Talos. When it names no host, the same two keys of user-data are tried (Proxmox writes them there).
func ParseMetadata(version string, doc, userData []byte) Metadata {
	m := unmarshal(version, doc)

	if m.Name() == "" && userData != nil {
		fallback := unmarshal(version, userData)
		m.Hostname, m.LocalHostname = fallback.Hostname, fallback.LocalHostname
	}

	return m
}

// unmarshal reads the keys that a version reads: before 1.10.3 the fields with a hyphen in their keys had JSON tags
// (platform/nocloud/metadata.go, MetadataConfig), which yaml.v3 does not look at.
func unmarshal(version string, doc []byte) Metadata {
	var m Metadata

	_ = yaml.Unmarshal(doc, &m) // silent on purpose

	if semver.Compare(version, "v1.10.3") < 0 {
		m.LocalHostname, m.PublicHostname, m.InstanceID, m.InstanceType, m.ProviderID = "", "", "", "", ""
	}

	return m
}

// ErrNoConfig means that the seed holds no machine config: the machine enters maintenance mode.
var ErrNoConfig = errors.New("no config source")

// ErrEmptyConfig means that user-data exists and is empty: Talos retries forever and never reaches maintenance mode.
var ErrEmptyConfig = errors.New("config not found")

// MachineConfig returns the machine config of user-data (nil: no such file).
func MachineConfig(userData []byte) ([]byte, error) {
	if userData == nil {
		return nil, ErrNoConfig
	}

	first, _, _ := bytes.Cut(userData, []byte("\n"))
	if bytes.Equal(bytes.TrimSpace(first), []byte("#cloud-config")) {
		return nil, ErrNoConfig
	}

	rest := bytes.TrimSpace(bytes.ReplaceAll(userData, []byte("---"), nil))
	if len(rest) == 0 || bytes.Equal(rest, []byte("null")) {
		return nil, ErrEmptyConfig
	}

	return userData, nil
}
