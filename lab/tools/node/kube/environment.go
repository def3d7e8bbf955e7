package kube

import (
	"net/url"
	"regexp"
	"strings"
)

// environment is the container's, in the order in which later variables may name earlier ones.
func (c *containerRun) environment() []envVar {
	p := c.run.snapshot()
	newest := c.run.rt.newest()
	all := []envVar{
		{Name: "PATH", Value: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{Name: "HOSTNAME", Value: p.Metadata.Name}, {Name: "HOME", Value: "/root"},
	}

	// The Service's own address is unreachable here: no kube-proxy runs.
	if server, err := url.Parse(newest.localServer()); err == nil {
		all = append(all, envVar{Name: "KUBERNETES_SERVICE_HOST", Value: server.Hostname()}, envVar{Name: "KUBERNETES_SERVICE_PORT", Value: server.Port()})
	}

	for _, variable := range c.spec.Env {
		if variable.ValueFrom != nil && variable.ValueFrom.FieldRef != nil {
			variable.Value = c.run.field(variable.ValueFrom.FieldRef.FieldPath)
		} else {
			variable.Value = expand(variable.Value, all)
		}

		all = append(all, variable)
	}

	return all
}

// field is a part of the pod that the pod itself may name.
func (run *podRun) field(path string) string {
	run.mu.Lock()
	defer run.mu.Unlock()

	p := run.pod

	switch path {
	case "metadata.name":
		return p.Metadata.Name
	case "metadata.namespace":
		return p.Metadata.Namespace
	case "metadata.uid":
		return run.uid
	case "spec.nodeName":
		return p.Spec.NodeName
	case "spec.serviceAccountName":
		return p.Spec.ServiceAccountName
	case "status.podIP", "status.podIPs":
		return run.address
	case "status.hostIP", "status.hostIPs":
		return run.rt.Address.String()
	}

	for prefix, values := range map[string]map[string]string{"metadata.labels": p.Metadata.Labels, "metadata.annotations": p.Metadata.Annotations} {
		if key, ok := strings.CutPrefix(path, prefix+"['"); ok {
			return values[strings.TrimSuffix(key, "']")]
		}
	}

	return ""
}

var reference = regexp.MustCompile(`\$\$|\$\([A-Za-z_.-][A-Za-z0-9_.-]*\)`)

// expand puts variables in the place of $(NAME); unknown ones stay, and $$ is one $.
func expand(text string, env []envVar) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}

		for i := len(env) - 1; i >= 0; i-- {
			if "$("+env[i].Name+")" == found {
				return env[i].Value
			}
		}

		return found
	})
}
