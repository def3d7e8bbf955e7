package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
)

// serve answers on the kubelet's port: /healthz without authentication, logs of processes to the API server and administrators.
func (k *kubelet) serve(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !k.isHealthy() {
			http.Error(w, "the lease was not renewed", http.StatusInternalServerError)

			return
		}

		fmt.Fprint(w, "ok") // the client is gone
	})
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.forAdministrators(k.serveLogs))

	crt, err := selfSigned(k.Hostname, k.Address)
	if err != nil {
		k.logf("kubelet", "serving certificate: %v", err)

		return
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(k.acceptedCAs())

	server := &http.Server{
		Addr: netip.AddrPortFrom(k.Address, constants.KubeletPort).String(), Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{crt}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool},
		ErrorLog:  log.New(io.Discard, "", 0),
	}

	stop := context.AfterFunc(ctx, func() { server.Close() }) // it ends with the process then
	defer stop()

	k.persist(ctx, "port "+strconv.Itoa(constants.KubeletPort), func() error {
		listener, err := net.Listen("tcp", server.Addr)
		if err != nil {
			return err
		}

		return server.ServeTLS(listener, "", "")
	})
}

func (k *kubelet) forAdministrators(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case len(r.TLS.VerifiedChains) == 0:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		case !slices.Contains(r.TLS.PeerCertificates[0].Subject.Organization, "system:masters"):
			http.Error(w, "Forbidden", http.StatusForbidden)
		default:
			next(w, r)
		}
	}
}

// serveLogs is behind `kubectl logs`.
func (k *kubelet) serveLogs(w http.ResponseWriter, r *http.Request) {
	namespace, name := r.PathValue("namespace"), r.PathValue("pod")

	run := k.rt.find(namespace, name)
	if run == nil {
		http.Error(w, fmt.Sprintf("pod %q not found", name), http.StatusNotFound)

		return
	}

	i := slices.IndexFunc(run.containers, func(c *containerRun) bool { return c.spec.Name == r.PathValue("container") })
	if i < 0 {
		http.Error(w, fmt.Sprintf("container %q not found in pod %q", r.PathValue("container"), name), http.StatusNotFound)

		return
	}

	c := run.containers[i]
	query := r.URL.Query()
	path := c.logFile()

	if query.Get("previous") == "true" {
		path += ".1"
	}

	if c.image.program == nil {
		return // nothing runs, so there is no output
	}

	file, err := os.Open(path)
	if err != nil {
		http.Error(w, "there is no log yet", http.StatusNotFound)

		return
	}

	defer file.Close() // only read

	if lines, err := strconv.Atoi(query.Get("tailLines")); err == nil {
		text, _ := io.ReadAll(file) // what was read is shown
		all := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
		io.WriteString(w, strings.Join(all[max(0, len(all)-lines):], "")+"\n") //nolint:errcheck // the client is gone
	}

	for {
		io.Copy(w, file) //nolint:errcheck // the client is gone

		if query.Get("follow") != "true" || c.now().Running == nil || r.Context().Err() != nil {
			return
		}

		http.NewResponseController(w).Flush() // it comes later then
		sleep(r.Context(), 500*time.Millisecond)
	}
}

// selfSigned is a self-signed serving certificate, as of a kubelet without serverTLSBootstrap.
func selfSigned(name string, address netip.Addr) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name + "@" + strconv.FormatInt(time.Now().Unix(), 10)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{name}, IPAddresses: []net.IP{address.AsSlice()},
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
