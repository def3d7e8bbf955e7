package nocloud_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"talosmith.dev/lab/tools/node/nocloud"
)

var links = []nocloud.Link{{Name: "eth0", MAC: "52:54:00:12:34:56"}, {Name: "eth1", MAC: "52:54:00:00:00:02"}}

const v1 = `version: 1
config:
  - type: physical
    name: lan
    mac_address: '52:54:00:12:34:56'
    subnets:
      - type: static
        address: 10.213.77.70/24
        gateway: 10.213.77.1
        dns_nameservers: [9.9.9.9]
        routes: [{network: 10.0.0.0, netmask: 255.0.0.0, gateway: 10.213.77.9}]
  - type: nameserver
    address: [10.213.77.1]
`

const v2 = `network:
  version: 2
  ethernets:
    lan:
      match: {macaddress: '52:54:00:12:34:56'}
      set-name: uplink
      mtu: 1400
      addresses: [10.213.77.70/24]
      gateway4: 10.213.77.1
      nameservers: {addresses: [10.213.77.1], search: [lan]}
      routes: [{to: 10.0.0.0/8, via: 10.213.77.9}]
`

func TestReadsBothVersions(t *testing.T) {
	one, err := nocloud.ParseNetwork([]byte(v1), links)
	if err != nil {
		t.Fatal(err)
	}

	if got := one.Addresses[0]; got.Link != "eth0" || got.Prefix.String() != "10.213.77.70/24" {
		t.Errorf("address: %v", got)
	}

	if len(one.Routes) != 1 || one.Routes[0].Gateway.String() != "10.213.77.1" || one.Routes[0].Metric != 1024 {
		t.Errorf("routes of a subnet are ignored, its gateway is not: %v", one.Routes)
	}

	if len(one.Nameservers) != 1 || one.Nameservers[0].String() != "10.213.77.1" {
		t.Errorf("dns_nameservers of a subnet are ignored: %v", one.Nameservers)
	}

	two, err := nocloud.ParseNetwork([]byte(v2), links)
	if err != nil {
		t.Fatal(err)
	}

	if !reflect.DeepEqual(two.Links, []nocloud.LinkSettings{{Name: "eth0", MTU: 1400}}) {
		t.Errorf("set-name is ignored: %v", two.Links)
	}

	if len(two.Routes) != 2 || two.Routes[1].Destination.String() != "10.0.0.0/8" {
		t.Errorf("routes: %v", two.Routes)
	}

	if len(two.Nameservers) != 1 {
		t.Errorf("nameservers: %v", two.Nameservers)
	}
}

func TestRefusesTheWholeDocument(t *testing.T) {
	for name, doc := range map[string]string{
		"nameserver as a plain string": "version: 1\nconfig:\n  - {type: nameserver, address: 10.0.0.1}\n",
		"v2 address without a prefix":  "version: 2\nethernets:\n  eth0: {addresses: [10.0.0.2]}\n",
		"v1 static without a netmask":  "version: 1\nconfig:\n  - type: physical\n    name: eth0\n    subnets: [{type: static, address: 10.0.0.2}]\n",
		"no version":                   "ethernets:\n  eth0: {addresses: [10.0.0.2/24]}\n",
		"unknown version":              "version: 3\n",
		"gateway that is no address":   "version: 2\nethernets:\n  eth0: {addresses: [10.0.0.2/24], gateway4: router}\n",
		"broken YAML":                  "version: 1\n  config: [",
	} {
		if n, err := nocloud.ParseNetwork([]byte(doc), links); err == nil {
			t.Errorf("%s: accepted as %+v", name, n)
		}
	}
}

func TestSilentlyIgnores(t *testing.T) {
	for name, doc := range map[string]string{
		"unknown keys":        "version: 2\nrenderer: networkd\nethernets: {}\n",
		"manual subnet":       "version: 1\nconfig:\n  - {type: physical, name: eth0, subnets: [{type: manual, address: nonsense}]}\n",
		"bridges":             "version: 2\nbridges: {br0: {interfaces: [eth0]}}\n",
		"route entries of v1": "version: 1\nconfig:\n  - {type: route, destination: 10.0.0.0/8, gateway: 10.0.0.1}\n",
	} {
		n, err := nocloud.ParseNetwork([]byte(doc), links)
		if err != nil || len(n.Addresses)+len(n.Routes) != 0 {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
}

func TestUnmatchedMACFallsBackToTheName(t *testing.T) {
	doc := strings.ReplaceAll(v2, "52:54:00:12:34:56", "52:54:00:99:99:99")

	n, err := nocloud.ParseNetwork([]byte(doc), links)
	if err != nil || n.Links[0].Name != "lan" || len(n.Unmatched) != 1 {
		t.Errorf("%+v, %v", n, err)
	}

	upper := strings.ReplaceAll(v2, "52:54:00:12:34:56", "52:54:00:00:00:02")
	if n, _ := nocloud.ParseNetwork([]byte(strings.ToUpper(upper[:0])+upper), links); n.Links[0].Name != "eth1" {
		t.Errorf("%+v", n)
	}
}

func TestNetmaskForm(t *testing.T) {
	n, err := nocloud.ParseNetwork([]byte("version: 1\nconfig:\n  - type: physical\n    name: eth0\n    subnets: [{type: static, address: 10.0.0.2, netmask: 255.255.254.0}]\n"), links)
	if err != nil || n.Addresses[0].Prefix.String() != "10.0.0.2/23" {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestMetadata(t *testing.T) {
	if m := nocloud.ParseMetadata("v1.13.9", []byte("instance-id: i-1\nlocal-hostname: cp1\n"), nil); m.Name() != "cp1" || m.InstanceID != "i-1" {
		t.Errorf("%+v", m)
	}

	if m := nocloud.ParseMetadata("v1.13.9", []byte("hostname: a\nlocal-hostname: b\n"), nil); m.Name() != "a" {
		t.Errorf("%+v", m)
	}

	if m := nocloud.ParseMetadata("v1.13.9", []byte("{broken"), nil); m.Name() != "" {
		t.Errorf("%+v", m)
	}

	if m := nocloud.ParseMetadata("v1.13.9", nil, []byte("#cloud-config\nhostname: pve\n")); m.Name() != "pve" {
		t.Errorf("%+v", m)
	}
}

// The seed's two keys, by each version's own rule (platform/nocloud/metadata.go).
func TestLocalHostnameByVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v1.9.6": "", "v1.10.2": "", "v1.10.3": "cp1", "v1.11.6": "cp1", "v1.12.11": "cp1", "v1.13.9": "cp1", "v1.14.0": "cp1",
	} {
		if m := nocloud.ParseMetadata(version, []byte("local-hostname: cp1\n"), nil); m.Name() != want {
			t.Errorf("%s: local-hostname is read as %q", version, m.Name())
		}

		if m := nocloud.ParseMetadata(version, []byte("local-hostname: cp1\nhostname: cp1\n"), nil); m.Name() != "cp1" {
			t.Errorf("%s: hostname is read as %q", version, m.Name())
		}
	}
}

func TestMachineConfig(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"absent":       {nil, nocloud.ErrNoConfig},
		"cloud-config": {[]byte("#cloud-config\nx: y\n"), nocloud.ErrNoConfig},
		"empty":        {[]byte{}, nocloud.ErrEmptyConfig},
		"separator":    {[]byte("---\n"), nocloud.ErrEmptyConfig},
		"null":         {[]byte("null"), nocloud.ErrEmptyConfig},
		"config":       {[]byte("version: v1alpha1\n"), nil},
	} {
		if _, err := nocloud.MachineConfig(c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestISOLabel(t *testing.T) {
	iso := make([]byte, 20*2048)
	descriptor := func(i int, kind byte, label []byte) {
		s := iso[i*2048:]
		s[0] = kind
		copy(s[1:], "CD001")
		copy(s[40:72], bytes.Repeat([]byte(" "), 32))
		copy(s[40:], label)
	}

	descriptor(16, 1, []byte("cidata"))
	descriptor(17, 255, nil)

	if got := nocloud.ISOLabel(bytes.NewReader(iso)); got != "cidata" {
		t.Errorf("primary: %q", got)
	}

	var wide []byte
	for _, u := range utf16.Encode([]rune("Cidata          ")) {
		wide = append(wide, byte(u>>8), byte(u))
	}

	descriptor(17, 2, wide)
	copy(iso[17*2048+88:], "%/E")
	descriptor(18, 255, nil)

	if got := nocloud.ISOLabel(bytes.NewReader(iso)); got != "Cidata" || nocloud.IsSeedLabel(got) {
		t.Errorf("the Joliet label counts: %q", got)
	}
}
