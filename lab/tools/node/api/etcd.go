package api

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"talosmith.dev/lab/tools/node/etcd"
)

// withEtcd runs a request against etcd: this machine's member, or (all) any of the control planes'.
func withEtcd[T any](s *Server, ctx context.Context, what string, all bool, do func(context.Context, *clientv3.Client, *etcd.Service) (T, error)) (T, error) {
	var none T

	member, err := s.controlPlane(what)
	if err != nil {
		return none, err
	}

	client, err := member.Client(all)
	if err != nil {
		return none, fmt.Errorf("failed to create etcd client: %w", err)
	}

	defer client.Close() // done with it

	return do(ctx, client, member)
}

// EtcdMemberList implements machine.MachineService.
func (s *Server) EtcdMemberList(ctx context.Context, in *machine.EtcdMemberListRequest) (*machine.EtcdMemberListResponse, error) {
	return withEtcd(s, ctx, "member list", !in.GetQueryLocal(), func(ctx context.Context, c *clientv3.Client, _ *etcd.Service) (*machine.EtcdMemberListResponse, error) {
		list, err := c.MemberList(clientv3.WithRequireLeader(ctx))
		if err != nil {
			return nil, err
		}

		out := &machine.EtcdMembers{}
		for _, m := range list.Members {
			out.LegacyMembers = append(out.LegacyMembers, m.Name)
			out.Members = append(out.Members, &machine.EtcdMember{Id: m.ID, Hostname: m.Name, PeerUrls: m.PeerURLs, ClientUrls: m.ClientURLs, IsLearner: m.IsLearner})
		}

		return &machine.EtcdMemberListResponse{Messages: []*machine.EtcdMembers{out}}, nil
	})
}

// EtcdStatus implements machine.MachineService.
func (s *Server) EtcdStatus(ctx context.Context, _ *emptypb.Empty) (*machine.EtcdStatusResponse, error) {
	return withEtcd(s, ctx, "etcd status", false, func(ctx context.Context, c *clientv3.Client, _ *etcd.Service) (*machine.EtcdStatusResponse, error) {
		r, err := c.Status(ctx, c.Endpoints()[0])
		if err != nil {
			return nil, fmt.Errorf("failed to query etcd status: %w", err)
		}

		return &machine.EtcdStatusResponse{Messages: []*machine.EtcdStatus{{MemberStatus: &machine.EtcdMemberStatus{
			MemberId: r.Header.MemberId, ProtocolVersion: r.Version, StorageVersion: r.StorageVersion, DbSize: r.DbSize, DbSizeInUse: r.DbSizeInUse, Leader: r.Leader,
			RaftIndex: r.RaftIndex, RaftTerm: r.RaftTerm, RaftAppliedIndex: r.RaftAppliedIndex, Errors: r.Errors, IsLearner: r.IsLearner,
		}}}}, nil
	})
}

// EtcdSnapshot implements machine.MachineService.
func (s *Server) EtcdSnapshot(_ *machine.EtcdSnapshotRequest, stream machine.MachineService_EtcdSnapshotServer) error {
	_, err := withEtcd(s, stream.Context(), "etcd snapshot", false, func(ctx context.Context, c *clientv3.Client, _ *etcd.Service) (int64, error) {
		r, err := c.Snapshot(ctx)
		if err != nil {
			return 0, fmt.Errorf("failed reading etcd snapshot: %w", err)
		}

		defer r.Close() // read to its end

		return io.CopyBuffer(chunks{stream}, struct{ io.Reader }{r}, make([]byte, 32<<10))
	})

	return err
}

// EtcdRecover implements machine.MachineService.
func (s *Server) EtcdRecover(stream machine.MachineService_EtcdRecoverServer) error {
	member, err := s.controlPlane("etcd recover")
	if err != nil {
		return err
	}

	if err := member.SaveRecovery(uploadReader{receive: stream.Recv}.reader()); err != nil {
		return err
	}

	return stream.SendAndClose(&machine.EtcdRecoverResponse{Messages: []*machine.EtcdRecover{{}}})
}

type uploadReader struct {
	receive func() (*common.Data, error)
}

func (u uploadReader) reader() io.Reader {
	r, w := io.Pipe()

	go func() {
		for {
			data, err := u.receive()
			if err != nil {
				w.CloseWithError(err) // never fails; io.EOF ends the reader

				return
			}

			if _, err := w.Write(data.GetBytes()); err != nil {
				return
			}
		}
	}()

	return r
}

func alarms(members []*etcdserverpb.AlarmMember) []*machine.EtcdMemberAlarm {
	var out []*machine.EtcdMemberAlarm

	for _, m := range members {
		kind := machine.EtcdMemberAlarm_NONE

		switch m.Alarm {
		case etcdserverpb.AlarmType_NOSPACE:
			kind = machine.EtcdMemberAlarm_NOSPACE
		case etcdserverpb.AlarmType_CORRUPT:
			kind = machine.EtcdMemberAlarm_CORRUPT
		case etcdserverpb.AlarmType_NONE:
		}

		out = append(out, &machine.EtcdMemberAlarm{MemberId: m.MemberID, Alarm: kind})
	}

	return out
}

// EtcdAlarmList implements machine.MachineService.
func (s *Server) EtcdAlarmList(ctx context.Context, _ *emptypb.Empty) (*machine.EtcdAlarmListResponse, error) {
	return withEtcd(s, ctx, "etcd alarm list", false, func(ctx context.Context, c *clientv3.Client, _ *etcd.Service) (*machine.EtcdAlarmListResponse, error) {
		r, err := c.AlarmList(ctx)
		if err != nil {
			return nil, fmt.Errorf("failed to list etcd alarms: %w", err)
		}

		return &machine.EtcdAlarmListResponse{Messages: []*machine.EtcdAlarm{{MemberAlarms: alarms(r.Alarms)}}}, nil
	})
}

// EtcdAlarmDisarm implements machine.MachineService.
func (s *Server) EtcdAlarmDisarm(ctx context.Context, _ *emptypb.Empty) (*machine.EtcdAlarmDisarmResponse, error) {
	return withEtcd(s, ctx, "etcd alarm disarm", false, func(ctx context.Context, c *clientv3.Client, _ *etcd.Service) (*machine.EtcdAlarmDisarmResponse, error) {
		r, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
		if err != nil {
			return nil, fmt.Errorf("failed to disarm etcd alarm: %w", err)
		}

		return &machine.EtcdAlarmDisarmResponse{Messages: []*machine.EtcdAlarmDisarm{{MemberAlarms: alarms(r.Alarms)}}}, nil
	})
}

// EtcdDefragment implements machine.MachineService.
func (s *Server) EtcdDefragment(ctx context.Context, _ *emptypb.Empty) (*machine.EtcdDefragmentResponse, error) {
	return withEtcd(s, ctx, "etcd defragment", false, func(ctx context.Context, c *clientv3.Client, _ *etcd.Service) (*machine.EtcdDefragmentResponse, error) {
		if _, err := c.Defragment(ctx, c.Endpoints()[0]); err != nil {
			return nil, fmt.Errorf("failed to defragment etcd: %w", err)
		}

		return &machine.EtcdDefragmentResponse{Messages: []*machine.EtcdDefragment{{}}}, nil
	})
}

// EtcdRemoveMemberByID implements machine.MachineService.
func (s *Server) EtcdRemoveMemberByID(ctx context.Context, in *machine.EtcdRemoveMemberByIDRequest) (*machine.EtcdRemoveMemberByIDResponse, error) {
	return withEtcd(s, ctx, "etcd remove member", true, func(ctx context.Context, c *clientv3.Client, _ *etcd.Service) (*machine.EtcdRemoveMemberByIDResponse, error) {
		_, err := c.MemberRemove(clientv3.WithRequireLeader(ctx), in.GetMemberId())
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil, status.Error(codes.NotFound, err.Error())
		}

		if err != nil {
			return nil, fmt.Errorf("failed to remove member: %w", err)
		}

		return &machine.EtcdRemoveMemberByIDResponse{Messages: []*machine.EtcdRemoveMemberByID{{}}}, nil
	})
}

// EtcdLeaveCluster implements machine.MachineService.
func (s *Server) EtcdLeaveCluster(ctx context.Context, _ *machine.EtcdLeaveClusterRequest) (*machine.EtcdLeaveClusterResponse, error) {
	member, err := s.controlPlane("etcd leave")
	if err != nil {
		return nil, err
	}

	if err := member.Leave(ctx); err != nil {
		return nil, fmt.Errorf("failed to leave cluster: %w", err)
	}

	return &machine.EtcdLeaveClusterResponse{Messages: []*machine.EtcdLeaveCluster{{}}}, nil
}

// EtcdForfeitLeadership implements machine.MachineService.
func (s *Server) EtcdForfeitLeadership(ctx context.Context, _ *machine.EtcdForfeitLeadershipRequest) (*machine.EtcdForfeitLeadershipResponse, error) {
	member, err := s.controlPlane("etcd forfeit leadership")
	if err != nil {
		return nil, err
	}

	to, err := member.Forfeit(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to forfeit leadership: %w", err)
	}

	return &machine.EtcdForfeitLeadershipResponse{Messages: []*machine.EtcdForfeitLeadership{{Member: to}}}, nil
}
