package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

// kubeletClient gives a client with the node's own certificate, asking for one with the bootstrap token when there is
// none, or it ends soon, or another CA signed it.
// https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/
func (o *Options) kubeletClient(ctx context.Context) (*client, error) {
	crtPath, keyPath := o.path("kubelet", "client.crt"), o.path("kubelet", "client.key")
	crt, _ := os.ReadFile(crtPath) // none then
	key, _ := os.ReadFile(keyPath) // none then

	if time.Until(certificateExpires(crt)) < 24*time.Hour || !o.isSignedByCA(crt) {
		var err error

		if crt, key, err = o.requestCertificate(ctx); err != nil {
			return nil, err
		}

		if err := errors.Join(writeFile(keyPath, key), writeFile(crtPath, crt)); err != nil {
			return nil, err
		}
	}

	return newClient(o.knownServers(), o.acceptedCAs(), crt, key)
}

func (o *Options) isSignedByCA(text []byte) bool {
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}

	crt, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(o.acceptedCAs())

	_, err = crt.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})

	return err == nil
}

const csrPath = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

func (o *Options) requestCertificate(ctx context.Context) ([]byte, []byte, error) {
	token := o.Config.Cluster().Token()

	api, err := newClient(o.knownServers(), o.acceptedCAs(), nil, nil)
	if err != nil {
		return nil, nil, err
	}

	api.token = token.ID() + "." + token.Secret()

	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}

	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + o.Hostname},
	}, private)
	if err != nil {
		return nil, nil, err
	}

	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}

	sum := sha256.Sum256(request)
	name := "node-csr-" + hex.EncodeToString(sum[:16])

	if err := api.post(ctx, csrPath, object{
		"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
		"metadata": object{"name": name},
		"spec": object{
			"request":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}),
			"signerName": "kubernetes.io/kube-apiserver-client-kubelet",
			"usages":     []string{"digital signature", "client auth"},
		},
	}, nil); err != nil {
		return nil, nil, err
	}

	crt, err := waitForCertificate(ctx, api, name)
	if err != nil {
		return nil, nil, err
	}

	return crt, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), nil
}

// waitForCertificate waits until the controller manager has approved and signed.
func waitForCertificate(ctx context.Context, api *client, name string) ([]byte, error) {
	for tries := 0; tries < 100 && ctx.Err() == nil; tries++ {
		var csr struct {
			Status struct {
				Certificate []byte                           `json:"certificate"`
				Conditions  []struct{ Type, Message string } `json:"conditions"`
			} `json:"status"`
		}

		if err := api.get(ctx, csrPath+"/"+name, &csr); err != nil {
			return nil, err
		}

		for _, c := range csr.Status.Conditions {
			if c.Type == "Denied" || c.Type == "Failed" {
				return nil, fmt.Errorf("request %s: %s: %s", name, c.Type, c.Message)
			}
		}

		if len(csr.Status.Certificate) > 0 {
			return csr.Status.Certificate, nil
		}

		sleep(ctx, 2*time.Second)
	}

	return nil, fmt.Errorf("%s: certificate signing request %s was not signed", http.StatusText(http.StatusRequestTimeout), name)
}
