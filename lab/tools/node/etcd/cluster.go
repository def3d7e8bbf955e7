package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

func quiet() *zap.Logger { return zap.NewNop() }

// initialCluster tells how the process is to begin: as it was (no state), with a new cluster, or by joining one.
func (s *Service) initialCluster(ctx context.Context) (state, cluster string, err error) {
	s.mu.Lock()
	bootstrap := s.bootstrap
	s.bootstrap = nil
	s.mu.Unlock()

	self := s.o.Name + "=" + url(s.o.Address, peerPort)

	if bootstrap != nil && bootstrap.recover {
		if err := s.restore(bootstrap.skipHashCheck, self); err != nil {
			return "", "", fmt.Errorf("error recovering from the snapshot: %w", err)
		}
	}

	switch {
	case !isEmpty(s.o.DataDir):
		return "", "", nil
	case bootstrap != nil:
		return "new", self, nil
	}

	for logged := false; ; logged = true {
		cluster, err := s.join(ctx)
		if err == nil {
			return "existing", cluster, nil
		}

		if !logged {
			s.logf("etcd is waiting to join the cluster, if this node is the first node in the cluster, please run `talosctl bootstrap` against %s (%v)", s.o.Address, err)
		}

		select {
		case <-ctx.Done():
			return "", "", ctx.Err()
		case <-s.wake:
			return "", "", errors.New("the member was requested to start again")
		case <-time.After(5 * time.Second):
		}
	}
}

// join adds this machine to the cluster of the other control planes, as a learner; a former member of its name is removed first.
func (s *Service) join(ctx context.Context) (string, error) {
	peers := s.o.Peers()
	if len(peers) == 0 {
		return "", errors.New("no other control plane is known")
	}

	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()

	endpoints := make([]string, 0, len(peers))
	for _, p := range peers {
		endpoints = append(endpoints, url(p, clientPort))
	}

	client, err := s.connect(endpoints)
	if err != nil {
		return "", err
	}

	defer client.Close() // done with it

	ctx = clientv3.WithRequireLeader(ctx)

	list, err := client.MemberList(ctx)
	if err != nil {
		return "", fmt.Errorf("error getting etcd member list: %w", err)
	}

	for _, m := range list.Members {
		if m.Name == s.o.Name || (m.Name == "" && len(m.PeerURLs) > 0 && m.PeerURLs[0] == url(s.o.Address, peerPort)) {
			if _, err := client.MemberRemove(ctx, m.ID); err != nil {
				return "", fmt.Errorf("error removing self from the member list: %w", err)
			}
		}
	}

	added, err := client.MemberAddAsLearner(ctx, []string{url(s.o.Address, peerPort)})
	if err != nil {
		return "", fmt.Errorf("error adding member: %w", err)
	}

	var cluster []string

	for _, m := range added.Members {
		name := m.Name
		if m.ID == added.Member.ID {
			name = s.o.Name
		}

		for _, u := range m.PeerURLs {
			cluster = append(cluster, name+"="+u)
		}
	}

	s.learner = added.Member.ID
	s.logf("joining as learner %x", s.learner)

	return strings.Join(cluster, ","), nil
}

// promote asks the other members to count this one's vote, until it has caught up and they do.
func (s *Service) promote(ctx context.Context, id uint64) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
		}

		for _, peer := range s.o.Peers() {
			client, err := s.connect([]string{url(peer, clientPort)})
			if err != nil {
				continue
			}

			attempt, cancel := context.WithTimeout(ctx, 15*time.Second)
			_, err = client.MemberPromote(attempt, id)

			cancel()
			client.Close() // done with it

			if err == nil || errors.Is(err, rpctypes.ErrMemberNotLearner) {
				s.logf("successfully promoted etcd member")

				return
			}
		}
	}
}

func (s *Service) recoveryPath() string { return s.o.DataDir + ".snapshot" }

// SaveRecovery keeps an uploaded snapshot for the next bootstrap.
func (s *Service) SaveRecovery(r io.Reader) error {
	f, err := os.OpenFile(s.recoveryPath(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("error creating etcd recovery snapshot: %w", err)
	}

	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(s.recoveryPath()) // the first error counts

		return fmt.Errorf("error writing snapshot: %w", err)
	}

	return nil
}

func (s *Service) restore(skipHashCheck bool, self string) error {
	manager := snapshot.NewV3(quiet())

	err := manager.Restore(snapshot.RestoreConfig{
		SnapshotPath: s.recoveryPath(), Name: s.o.Name, OutputDataDir: s.o.DataDir, PeerURLs: []string{url(s.o.Address, peerPort)},
		InitialCluster: self, SkipHashCheck: skipHashCheck,
	})
	if err != nil {
		return err
	}

	return os.Remove(s.recoveryPath())
}

// Leave takes this member out of its cluster and forgets its data; it keeps trying for five minutes while the cluster is unhealthy.
func (s *Service) Leave(ctx context.Context) error {
	if isEmpty(s.o.DataDir) {
		return nil
	}

	id, err := s.memberID(ctx)
	if err != nil {
		return err
	}

	client, err := s.Client(true)
	if err != nil {
		return err
	}

	defer client.Close() // done with it

	deadline := time.Now().Add(5 * time.Minute)

	for {
		_, err := client.MemberRemove(clientv3.WithRequireLeader(ctx), id)
		if err == nil || errors.Is(err, rpctypes.ErrMemberNotFound) {
			break
		}

		if (!errors.Is(err, rpctypes.ErrUnhealthy) && !errors.Is(err, rpctypes.ErrStopped)) || time.Now().After(deadline) {
			return fmt.Errorf("failed to remove member %d: %w", id, err)
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Second):
		}
	}

	if err := s.Stop(ctx); err != nil {
		return fmt.Errorf("failed to stop etcd: %w", err)
	}

	return os.RemoveAll(s.o.DataDir)
}

func (s *Service) memberID(ctx context.Context) (uint64, error) {
	client, err := s.Client(false)
	if err != nil {
		return 0, err
	}

	defer client.Close() // done with it

	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()

	r, err := client.AlarmList(ctx)
	if err != nil {
		return 0, err
	}

	return r.Header.MemberId, nil
}

// Forfeit hands leadership to another member; the answer is its name, empty when this one did not lead.
func (s *Service) Forfeit(ctx context.Context) (string, error) {
	client, err := s.Client(false)
	if err != nil {
		return "", err
	}

	defer client.Close() // done with it

	list, err := client.MemberList(ctx)
	if err != nil {
		return "", fmt.Errorf("failed to list etcd members: %w", err)
	}

	if len(list.Members) == 1 {
		return "", errors.New("cannot forfeit leadership, only one member")
	}

	st, err := client.Status(ctx, s.Endpoint())
	if err != nil {
		return "", err
	}

	if st.Leader != st.Header.MemberId {
		return "", nil
	}

	for _, m := range list.Members {
		if m.ID == st.Leader || m.IsLearner {
			continue
		}

		_, err := client.MoveLeader(ctx, m.ID)
		if errors.Is(err, rpctypes.ErrNotLeader) {
			return "", nil
		}

		return m.Name, err
	}

	return "", nil
}

// ValidateForUpgrade tells why the cluster would not survive this member's reboot: two members, one not started, or one unhealthy.
func (s *Service) ValidateForUpgrade(ctx context.Context) error {
	client, err := s.Client(true)
	if err != nil {
		return err
	}

	defer client.Close() // done with it

	list, err := client.MemberList(ctx)
	if err != nil {
		return err
	}

	if len(list.Members) == 2 {
		return fmt.Errorf("etcd member count(%d) is insufficient to maintain quorum if upgrade commences", len(list.Members))
	}

	for _, m := range list.Members {
		if m.Name == "" {
			return fmt.Errorf("etcd member %016x is not started, all members must be running to perform an upgrade", m.ID)
		}

		one, err := s.connect(m.ClientURLs)
		if err == nil {
			_, err = quorum(ctx, one)
			one.Close() // done with it
		}

		if err != nil {
			return fmt.Errorf("etcd member %016x is not healthy; all members must be healthy to perform an upgrade: %w", m.ID, err)
		}
	}

	return nil
}
