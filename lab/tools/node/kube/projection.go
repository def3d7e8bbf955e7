package kube

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// keyedSource is a ConfigMap or Secret whose keys become files.
type keyedSource struct {
	Name       string `json:"name"`
	SecretName string `json:"secretName"`
	Optional   bool   `json:"optional"`
	Items      []struct {
		Key  string `json:"key"`
		Path string `json:"path"`
	} `json:"items"`
}

// projection is one source of a volume of files.
type projection struct {
	ConfigMap           *keyedSource `json:"configMap"`
	Secret              *keyedSource `json:"secret"`
	ServiceAccountToken *struct {
		Audience          string `json:"audience"`
		ExpirationSeconds int64  `json:"expirationSeconds"`
		Path              string `json:"path"`
	} `json:"serviceAccountToken"`
	DownwardAPI *struct {
		Items []struct {
			Path     string `json:"path"`
			FieldRef *struct {
				FieldPath string `json:"fieldPath"`
			} `json:"fieldRef"`
		} `json:"items"`
	} `json:"downwardAPI"`
}

// project writes the files of one source into a volume's folder.
func (run *podRun) project(dir string, p projection) error {
	files := map[string][]byte{}

	switch {
	case p.ConfigMap != nil:
		if err := run.readKeys("configmaps", p.ConfigMap, files); err != nil {
			return err
		}
	case p.Secret != nil:
		if err := run.readKeys("secrets", p.Secret, files); err != nil {
			return err
		}
	case p.ServiceAccountToken != nil:
		token, err := run.requestToken(p.ServiceAccountToken.Audience, p.ServiceAccountToken.ExpirationSeconds)
		if err != nil {
			return err
		}

		files[p.ServiceAccountToken.Path] = []byte(token)
	case p.DownwardAPI != nil:
		for _, item := range p.DownwardAPI.Items {
			if item.FieldRef != nil {
				files[item.Path] = []byte(run.field(item.FieldRef.FieldPath))
			}
		}
	}

	for name, content := range files {
		path := filepath.Join(dir, filepath.Clean("/"+name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}

		if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // the container may run as any user
			return err
		}
	}

	return nil
}

func (run *podRun) readKeys(kind string, source *keyedSource, files map[string][]byte) error {
	api, err := run.rt.client(run.ctx)
	if err != nil {
		return err
	}

	var found struct {
		Data       map[string]string `json:"data"`
		BinaryData map[string][]byte `json:"binaryData"`
	}

	err = api.get(run.ctx, "/api/v1/namespaces/"+run.snapshot().Metadata.Namespace+"/"+kind+"/"+source.Name, &found)
	if isStatus(err, http.StatusNotFound) && source.Optional {
		return nil
	}

	if err != nil {
		return err
	}

	all := found.BinaryData
	if all == nil {
		all = map[string][]byte{}
	}

	for key, value := range found.Data {
		all[key] = []byte(value)

		if kind == "secrets" {
			if all[key], err = base64.StdEncoding.DecodeString(value); err != nil {
				return err
			}
		}
	}

	if len(source.Items) == 0 {
		for key, value := range all {
			files[key] = value
		}
	}

	for _, item := range source.Items {
		value, ok := all[item.Key]
		if !ok && !source.Optional {
			return fmt.Errorf("references non-existent config key: %s", item.Key)
		}

		if ok {
			files[item.Path] = value
		}
	}

	return nil
}

// requestToken requests a token of the pod's service account. It is valid for a year: the API server extends those of an hour.
func (run *podRun) requestToken(audience string, seconds int64) (string, error) {
	api, err := run.rt.client(run.ctx)
	if err != nil {
		return "", err
	}

	p := run.snapshot()
	spec := object{
		"expirationSeconds": seconds,
		"boundObjectRef":    object{"apiVersion": "v1", "kind": "Pod", "name": p.Metadata.Name, "uid": run.uid},
	}

	if audience != "" {
		spec["audiences"] = []string{audience}
	}

	var answer struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}

	path := "/api/v1/namespaces/" + p.Metadata.Namespace + "/serviceaccounts/" + p.Spec.ServiceAccountName + "/token"
	err = api.post(run.ctx, path, object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}, &answer)

	return answer.Status.Token, err
}
