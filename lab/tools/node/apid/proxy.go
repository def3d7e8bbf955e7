package apid

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var oneToMany = []string{"/machine.MachineService/", "/cluster.ClusterService/", "/inspect.InspectService/", "/storage.StorageService/", "/time.TimeService/"}

var anyStream = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

// outgoing is the context of a forwarded call: the caller's metadata without routing, with the roles that this end has established.
func outgoing(ctx context.Context, roles role.Set, remote bool) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()
	md.Set(constants.APIAuthzRoleMetadataKey, roles.Strings()...)

	if remote {
		from := "unknown"
		if authority := md[":authority"]; len(authority) > 0 {
			from = authority[0]
		}

		md.Set("proxyfrom", from)
	}

	for _, key := range []string{":authority", "nodes", "node"} {
		delete(md, key)
	}

	return metadata.NewOutgoingContext(ctx, md)
}

// route decides who answers: this machine (no hosts), one other, or many.
func (s *Server) route(id *identity, ctx context.Context, method string) (hosts []string, many bool, err error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if id.maintenance || len(md["proxyfrom"]) > 0 {
		return nil, false, nil
	}

	nodes, node := md["nodes"], md["node"]

	if len(node) > 1 {
		return nil, false, status.Error(codes.InvalidArgument, "node metadata must be single-valued")
	}

	if id.client == nil { // a worker forwards nothing, but answers when it is itself the target
		if len(node) == 1 && s.options.IsLocal(node[0]) {
			node = nil
		}

		if len(nodes) == 1 && s.options.IsLocal(nodes[0]) {
			nodes = nil
		}
	}

	if len(nodes) == 0 && len(node) == 0 {
		return nil, false, nil
	}

	if many = len(nodes) > 0; many {
		hosts = nodes

		known := false
		for _, prefix := range oneToMany {
			known = known || strings.HasPrefix(method, prefix)
		}

		if !known {
			return nil, false, status.Errorf(codes.InvalidArgument, "one-2-many proxying is not supported for method %s", method)
		}
	} else {
		hosts = node
	}

	if id.client == nil {
		return nil, false, status.Error(codes.PermissionDenied, "no request forwarding")
	}

	return hosts, many, nil
}

func (s *Server) handle(id *identity, stream grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		return status.Error(codes.Internal, "no method in the stream")
	}

	roles := id.roles(stream.Context())

	hosts, many, err := s.route(id, stream.Context(), method)
	if err != nil {
		return err
	}

	if !many {
		host := ""
		if len(hosts) == 1 {
			host = hosts[0]
		}

		upstream, err := s.open(id, stream.Context(), roles, host, method)
		if err != nil {
			return err
		}

		return relay(stream, upstream)
	}

	return s.fanOut(id, stream, roles, hosts, method)
}

// open begins the call on a machine; no host, or one of our own addresses, is this machine.
func (s *Server) open(id *identity, ctx context.Context, roles role.Set, host, method string) (grpc.ClientStream, error) {
	if host == "" || s.options.IsLocal(host) {
		return s.local.NewStream(outgoing(ctx, roles, false), anyStream, method, grpc.ForceCodec(raw{}))
	}

	conn, err := id.dial(s.options.Resolve(host))
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}

	return conn.NewStream(outgoing(ctx, roles, true), anyStream, method, grpc.ForceCodec(raw{}))
}

// relay passes messages both ways until the upstream has answered.
func relay(down grpc.ServerStream, up grpc.ClientStream) error {
	go func() {
		for {
			var f frame
			if err := down.RecvMsg(&f); err != nil {
				_ = up.CloseSend() // the answer tells

				return
			}

			if up.SendMsg(&f) != nil {
				return
			}
		}
	}()

	for {
		var f frame

		err := up.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			return nil
		}

		if err != nil {
			return err
		}

		if err := down.SendMsg(&f); err != nil {
			return err
		}
	}
}

// fanOut asks many machines at once and adds the machine's name to every answer; a machine's failure is an answer too.
func (s *Server) fanOut(id *identity, down grpc.ServerStream, roles role.Set, hosts []string, method string) error {
	var (
		stream = streams(method)
		mu     sync.Mutex
		merged frame
		group  sync.WaitGroup
		ups    = make([]grpc.ClientStream, len(hosts))
		errs   = make([]error, len(hosts))
	)

	for i, host := range hosts {
		ups[i], errs[i] = s.open(id, down.Context(), roles, host, method)
	}

	go func() {
		for {
			var f frame

			err := down.RecvMsg(&f)
			for _, up := range ups {
				switch {
				case up == nil:
				case err != nil:
					_ = up.CloseSend() // the answer tells
				default:
					_ = up.SendMsg(&f) // the answer tells
				}
			}

			if err != nil {
				return
			}
		}
	}()

	deliver := func(message []byte, err error) error {
		if err != nil {
			return err
		}

		mu.Lock()
		defer mu.Unlock()

		if stream {
			return down.SendMsg(&frame{message})
		}

		merged.bytes = append(merged.bytes, message...)

		return nil
	}

	results := make(chan error, len(hosts))

	for i, host := range hosts {
		group.Go(func() {
			err := errs[i]
			for err == nil {
				var f frame
				if err = ups[i].RecvMsg(&f); err == nil {
					err = deliver(annotate(stream, host, f.bytes))
				}
			}

			if !errors.Is(err, io.EOF) {
				results <- deliver(failure(stream, host, err))
			}
		})
	}

	group.Wait()
	close(results)

	for err := range results {
		if err != nil {
			return err
		}
	}

	if stream {
		return nil
	}

	return down.SendMsg(&merged)
}
