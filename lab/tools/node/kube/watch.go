package kube

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// watched is a set of objects that is followed: all of a path that a field selector picks.
type watched[T any] struct {
	path     string
	selector string
	// listed gets the whole set, first and after every interruption.
	listed func([]T)
	// changed gets an object that was added or modified, deleted one that is gone.
	changed, deleted func(T)
	// failed is called with the reason of an interruption.
	failed func(error)
}

// follow lists and then watches until the context ends; after an interruption it lists again.
func follow[T any](ctx context.Context, api *client, w watched[T]) {
	for ; ctx.Err() == nil; sleep(ctx, 2*time.Second) {
		err := followOnce(ctx, api, w)
		// The server ends a watch after a while; that is no failure.
		if err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) {
			w.failed(err)
		}
	}
}

func followOnce[T any](ctx context.Context, api *client, w watched[T]) error {
	var all struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Items []T `json:"items"`
	}

	query := url.Values{"fieldSelector": {w.selector}}
	if err := api.get(ctx, w.path+"?"+query.Encode(), &all); err != nil {
		return err
	}

	w.listed(all.Items)

	query.Set("watch", "1")
	query.Set("resourceVersion", all.Metadata.ResourceVersion)
	query.Set("timeoutSeconds", "600")

	response, err := api.send(ctx, http.MethodGet, w.path+"?"+query.Encode(), "", nil)
	if err != nil {
		return err
	}

	defer response.Body.Close()

	decoder := json.NewDecoder(bufio.NewReader(response.Body))

	for {
		var event struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}

		if err := decoder.Decode(&event); err != nil {
			return err
		}

		if event.Type == "ERROR" {
			return fmt.Errorf("watch: %s", event.Object)
		}

		var object T
		if err := json.Unmarshal(event.Object, &object); err != nil {
			return err
		}

		if event.Type == "DELETED" {
			w.deleted(object)
		} else {
			w.changed(object)
		}
	}
}
