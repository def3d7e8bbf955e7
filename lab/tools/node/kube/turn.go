package kube

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/client/v3/concurrency"
)

const (
	// turnKey is where the control planes queue.
	turnKey = "talosmith:lab:api-server-start"
	// turnWithin is how long a machine waits for its turn, and how long a turn may last: then the next one starts regardless.
	turnWithin = 4 * time.Minute
	// turnSeconds is the TTL of a turn: that of a machine that is gone ends after it.
	turnSeconds = 15
)

// takeTurn waits until no other control plane of the cluster is starting its API server, and returns what ends the turn.
// Three that start at the same moment on two emulated cores write the same first objects into an etcd that they starve,
// and need ten times as long as one after the other.
func (o *Options) takeTurn(ctx context.Context) (end func(), err error) {
	nothing := func() {}
	if o.EtcdClient == nil {
		return nothing, nil
	}

	client, err := o.EtcdClient()
	if err != nil {
		return nothing, err
	}

	session, err := concurrency.NewSession(client, concurrency.WithTTL(turnSeconds), concurrency.WithContext(ctx))
	if err != nil {
		client.Close() // never used

		return nothing, err
	}

	end = func() {
		forget, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()

		client.Revoke(forget, session.Lease()) //nolint:errcheck // the lease runs out
		session.Orphan()
		client.Close() // done with it
	}

	wait, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()

	if err := concurrency.NewMutex(session, turnKey).Lock(wait); err != nil {
		end()

		return nothing, fmt.Errorf("not waiting any longer for other API servers to start: %w", err)
	}

	return end, nil
}

// startInTurn keeps the API server running; it is first started when no other one is starting.
func (o *Options) startInTurn(ctx context.Context, p process, api *client) {
	end, err := o.takeTurn(ctx)
	if err != nil {
		o.logf(p.name, "%v", err)
	}

	go func() {
		turn, cancel := context.WithTimeout(ctx, turnWithin)
		defer cancel()
		defer end()

		waitReady(turn, api) //nolint:errcheck // the turn ends, one way or the other
	}()

	o.supervise(ctx, p, api.ready)
}
