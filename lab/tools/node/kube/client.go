package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// client calls the Kubernetes API with JSON; the typed libraries would double the guest's memory.
type client struct {
	servers *serverList
	http    *http.Client
	token   string
}

// object is any Kubernetes object.
type object = map[string]any

// statusError is an error response of the API server.
type statusError struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func (e *statusError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

func isStatus(err error, code int) bool {
	var status *statusError

	return errors.As(err, &status) && status.Code == code
}

func newClient(servers []string, ca, crt, key []byte) (*client, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)

	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}

	if crt != nil {
		pair, err := tls.X509KeyPair(crt, key)
		if err != nil {
			return nil, err
		}

		config.Certificates = []tls.Certificate{pair}
	}

	transport := &http.Transport{
		TLSClientConfig:       config,
		ForceAttemptHTTP2:     true,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   20 * time.Second,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		ResponseHeaderTimeout: 60 * time.Second,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
	}

	return &client{servers: &serverList{all: servers}, http: &http.Client{Transport: transport}}, nil
}

const (
	applyType     = "application/apply-patch+yaml"
	mergeType     = "application/merge-patch+json"
	strategicType = "application/strategic-merge-patch+json"
	jsonType      = "application/json"
)

func (c *client) send(ctx context.Context, method, path, contentType string, body any) (*http.Response, error) {
	var reader io.Reader

	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}

		reader = bytes.NewReader(text)
	}

	server := c.servers.current()

	request, err := http.NewRequestWithContext(ctx, method, server+path, reader)
	if err != nil {
		return nil, err
	}

	request.Header.Set("Accept", jsonType)

	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}

	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}

	response, err := c.http.Do(request)
	if err != nil {
		c.servers.failed(server)

		return nil, err
	}

	if response.StatusCode >= 300 {
		defer response.Body.Close()

		status := &statusError{Code: response.StatusCode, Message: response.Status}
		_ = json.NewDecoder(response.Body).Decode(status) // the status line is enough

		return nil, status
	}

	return response, nil
}

// do sends one request and reads the answer into out, when there is one to read into.
func (c *client) do(ctx context.Context, method, path, contentType string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()

	response, err := c.send(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}

	defer response.Body.Close()

	if out == nil {
		_, err = io.Copy(io.Discard, response.Body)

		return err
	}

	return json.NewDecoder(response.Body).Decode(out)
}

func (c *client) get(ctx context.Context, path string, out any) error {
	return c.do(ctx, http.MethodGet, path, "", nil, out)
}

func (c *client) post(ctx context.Context, path string, body, out any) error {
	return c.do(ctx, http.MethodPost, path, jsonType, body, out)
}

func (c *client) merge(ctx context.Context, path string, body, out any) error {
	return c.do(ctx, http.MethodPatch, path, mergeType, body, out)
}

// apply applies an object server-side, as the owner of its fields.
func (c *client) apply(ctx context.Context, path string, body any) error {
	return c.do(ctx, http.MethodPatch, path+"?fieldManager=talos&force=true", applyType, body, nil)
}

// patchStatus merges into an object's status; lists with keys are merged by their keys.
func (c *client) patchStatus(ctx context.Context, path string, body any) error {
	return c.do(ctx, http.MethodPatch, path+"/status", strategicType, body, nil)
}

func (c *client) ready(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/readyz", "", nil, nil)
}
