package kube

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"
)

// serverList is where the API may be found: the first by preference, another when that one does not answer, as Talos'
// KubePrism does for the kubelet.
type serverList struct {
	mu    sync.Mutex
	all   []string
	index int
}

func (l *serverList) current() string {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.all[l.index]
}

// failed switches to the next server, unless another caller already did.
func (l *serverList) failed(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.all[l.index] == server {
		l.index = (l.index + 1) % len(l.all)
	}
}

// extend takes the servers beside the preferred one, and keeps the one in use.
func (l *serverList) extend(others []string) {
	l.mu.Lock()
	defer l.mu.Unlock()

	inUse := l.all[l.index]
	all := l.all[:1:1]

	for _, other := range others {
		if !slices.Contains(all, other) {
			all = append(all, other)
		}
	}

	l.all, l.index = all, max(0, slices.Index(all, inUse))
}

// prefer returns to the first server as soon as something listens there.
func (l *serverList) prefer(ctx context.Context) {
	l.mu.Lock()
	first, isFirst := l.all[0], l.index == 0
	l.mu.Unlock()

	if isFirst {
		return
	}

	parsed, err := url.Parse(first)
	if err != nil {
		return
	}

	dialer := net.Dialer{Timeout: 3 * time.Second}

	conn, err := dialer.DialContext(ctx, "tcp", parsed.Host)
	if err != nil {
		return
	}

	conn.Close()

	l.mu.Lock()
	l.index = 0
	l.mu.Unlock()
}

// knownServers are the servers of this machine's client: its own, and those observed before.
func (o *Options) knownServers() []string {
	list := serverList{all: []string{o.localServer()}}

	var observed []string

	if text, err := os.ReadFile(o.path("kubelet", "servers.json")); err == nil && json.Unmarshal(text, &observed) == nil {
		list.extend(observed)
	}

	return list.all
}

// learnServers reads the control planes' addresses from the API and keeps them for the next start.
func (o *Options) learnServers(ctx context.Context, api *client) error {
	var answer struct {
		Items []struct {
			Ports []struct {
				Port uint16 `json:"port"`
			} `json:"ports"`
			Endpoints []struct {
				Addresses []netip.Addr `json:"addresses"`
			} `json:"endpoints"`
		} `json:"items"`
	}

	where := "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes"
	if err := api.get(ctx, where, &answer); err != nil {
		return err
	}

	var found []string

	for _, slice := range answer.Items {
		for _, endpoint := range slice.Endpoints {
			for _, address := range endpoint.Addresses {
				for _, port := range slice.Ports {
					found = append(found, "https://"+netip.AddrPortFrom(address, port.Port).String())
				}
			}
		}
	}

	slices.Sort(found)

	if len(found) == 0 {
		return nil
	}

	text, err := json.Marshal(found)
	if err != nil {
		return err
	}

	if old, _ := os.ReadFile(o.path("kubelet", "servers.json")); string(old) != string(text) { // none then
		err = writeFile(o.path("kubelet", "servers.json"), text)
	}

	api.servers.extend(found)
	api.servers.prefer(ctx)

	return err
}
