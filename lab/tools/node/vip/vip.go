// Package vip keeps the cluster's shared address on one control plane at a time: the one that holds a lease in etcd.
package vip

import (
	"context"
	"errors"
	"log"
	"net/netip"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"talosmith.dev/lab/tools/node/network"
)

// leaseSeconds is how long a dead holder keeps the address; Talos takes 10 s, and emulated machines stall for longer than real ones.
const leaseSeconds = 15

// Address is a shared address on a link.
type Address struct {
	Link string
	IP   netip.Addr
}

// Run stands for election, holds the address while elected, and releases it when ctx ends; changed is called after every move.
func Run(ctx context.Context, a Address, self string, connect func() (*clientv3.Client, error), changed func()) {
	for ctx.Err() == nil {
		if err := campaign(ctx, a, self, connect, changed); err != nil && ctx.Err() == nil {
			log.Printf("virtual IP %s: %v", a.IP, err)
		}

		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func campaign(ctx context.Context, a Address, self string, connect func() (*clientv3.Client, error), changed func()) error {
	client, err := connect()
	if err != nil {
		return err
	}

	defer client.Close() // done with it

	// A cancelled election deletes its key in etcd, without a timeout of its own: closing the client ends it.
	limit := context.AfterFunc(ctx, func() {
		time.Sleep(5 * time.Second)
		client.Close() // closing twice is fine
	})
	defer limit()

	session, err := concurrency.NewSession(client, concurrency.WithTTL(leaseSeconds), concurrency.WithContext(ctx))
	if err != nil {
		return err
	}

	defer session.Close() // the lease runs out

	election := concurrency.NewElection(session, "talos:v1:vip:election:"+a.IP.String())

	wait, stop := context.WithCancel(ctx)
	defer stop()

	go func() {
		select {
		case <-session.Done():
			stop()
		case <-wait.Done():
		}
	}()

	if err := election.Campaign(wait, self); err != nil {
		return err
	}

	prefix := netip.PrefixFrom(a.IP, a.IP.BitLen())

	if err := network.AddAddress(a.Link, prefix); err != nil {
		return errors.Join(err, election.Resign(context.Background()))
	}

	log.Printf("enabled shared IP %s on %s", a.IP, a.Link)

	if err := network.AnnounceARP(a.Link, a.IP); err != nil {
		log.Printf("failed to send gratuitous ARP for %s: %v", a.IP, err)
	}

	changed()

	select {
	case <-ctx.Done():
	case <-session.Done():
		err = errors.New("etcd session closed")
	}

	removed := network.RemoveAddress(a.Link, prefix)

	log.Printf("removing shared IP %s on %s", a.IP, a.Link)
	changed()

	resign, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()

	if ctx.Err() != nil { // the next one need not wait for the lease to run out
		_ = election.Resign(resign)                   // the lease runs out
		_, _ = client.Revoke(resign, session.Lease()) // as above
	}

	return errors.Join(err, removed)
}
