package kube

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"go.yaml.in/yaml/v4"
)

// The first objects of a cluster, as Talos makes them: same names, labels and images; the workloads' inside is ours. The
// comment on top of each is the ID of Talos' manifest that it belongs to.
//
//go:embed manifests.yaml
var manifestText string

var manifestTemplate = template.Must(template.New("manifests").Parse(manifestText))

// Manifest is one of the bootstrap manifests, under Talos' ID (11-core-dns).
type Manifest struct {
	ID      string
	Objects []map[string]any
}

// Manifests are the bootstrap manifests that the machine config asks for, inline manifests included.
func Manifests(cfg config.Provider) ([]Manifest, error) {
	cluster := cfg.Cluster()

	dns, err := cluster.Network().DNSServiceIPs()
	if err != nil {
		return nil, err
	}

	var text bytes.Buffer

	if err := manifestTemplate.Execute(&text, map[string]any{
		"TokenID": cluster.Token().ID(), "TokenSecret": cluster.Token().Secret(),
		"CoreDNS": cluster.CoreDNS().Enabled(), "CoreDNSImage": cluster.CoreDNS().Image(),
		"DNSDomain": cluster.Network().DNSDomain(), "DNSAddress": dns[0].String(),
		"Proxy": cluster.Proxy().Enabled(), "ProxyImage": cluster.Proxy().Image(), "ProxyArgs": proxyArgs(cfg),
		"Flannel":      cluster.Network().CNI().Name() == constants.FlannelCNI,
		"FlannelImage": "ghcr.io/siderolabs/flannel:" + constants.FlannelVersion,
		"PodCIDR":      strings.Join(cluster.Network().PodCIDRs(), ","),
	}); err != nil {
		return nil, err
	}

	var all []Manifest

	for document := range strings.SplitSeq(text.String(), "\n---\n") {
		first, _, _ := strings.Cut(document, "\n")
		id := strings.TrimPrefix(first, "# ")

		objects, err := readObjects(document)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}

		if last := len(all) - 1; last >= 0 && all[last].ID == id {
			all[last].Objects = append(all[last].Objects, objects...)
		} else {
			all = append(all, Manifest{ID: id, Objects: objects})
		}
	}

	for _, inline := range cluster.InlineManifests() {
		objects, err := readObjects(inline.Contents())
		if err != nil {
			return nil, fmt.Errorf("inline manifest %s: %w", inline.Name(), err)
		}

		all = append(all, Manifest{ID: "99-inline-" + inline.Name(), Objects: objects})
	}

	return all, nil
}

func proxyArgs(cfg config.Provider) []string {
	proxy := cfg.Cluster().Proxy()
	mode := proxy.Mode()

	if mode == "" {
		mode = "nftables"
	}

	return flags(mergeArgs(map[string][]string{
		"cluster-cidr":           {strings.Join(cfg.Cluster().Network().PodCIDRs(), ",")},
		"conntrack-max-per-core": {"0"},
		"hostname-override":      {"$(NODE_NAME)"},
		"kubeconfig":             {"/etc/kubernetes/kubeconfig"},
		"proxy-mode":             {mode},
	}, proxy.ExtraArgs()))
}

// readObjects reads the Kubernetes objects of a YAML text.
func readObjects(text string) ([]map[string]any, error) {
	var all []map[string]any

	for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
		var one map[string]any

		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all, nil
		}

		if err != nil {
			return nil, err
		}

		if len(one) > 0 {
			all = append(all, one)
		}
	}
}
