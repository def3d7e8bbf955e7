package api

import (
	"context"
	"fmt"
	"strings"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/cluster"
	"github.com/siderolabs/talos/pkg/cluster/check"
	"github.com/siderolabs/talos/pkg/conditions"
	clusterapi "github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	clusterres "github.com/siderolabs/talos/pkg/machinery/resources/cluster"
)

type clusterService struct {
	clusterapi.UnimplementedClusterServiceServer
	s *Server
}

// HealthCheck runs Talos' own checks from this machine, over its own front door.
func (c *clusterService) HealthCheck(in *clusterapi.HealthCheckRequest, stream clusterapi.ClusterService_HealthCheckServer) error {
	if _, err := c.s.controlPlane("cluster health check"); err != nil {
		return err
	}

	clients := cluster.NewLocalClientProvider(c.s.State, Roles(stream.Context()))
	defer clients.Close() // done with it

	kubernetes := &cluster.KubernetesClient{ClientProvider: clients, ForceEndpoint: in.GetClusterInfo().GetForceEndpoint()}
	defer kubernetes.K8sClose() // done with it

	ctx, cancel := context.WithTimeout(stream.Context(), in.GetWaitTimeout().AsDuration())
	defer cancel()

	info, err := c.info(ctx, in)
	if err != nil {
		return err
	}

	var addresses []string
	for _, n := range info.Nodes() {
		addresses = append(addresses, n.InternalIP.String())
	}

	if err := stream.Send(&clusterapi.HealthCheckProgress{Message: fmt.Sprintf("discovered nodes: %q", addresses)}); err != nil {
		return err
	}

	whole := struct {
		cluster.ClientProvider
		cluster.K8sProvider
		cluster.Info
	}{clients, kubernetes, info}

	return check.Wait(ctx, &whole, append(check.DefaultClusterChecks(), check.ExtraClusterChecks()...), &reporter{stream: stream})
}

type nodes map[machine.Type][]cluster.NodeInfo

func (n nodes) Nodes() []cluster.NodeInfo {
	return append(append([]cluster.NodeInfo(nil), n[machine.TypeControlPlane]...), n[machine.TypeWorker]...)
}
func (n nodes) NodesByType(t machine.Type) []cluster.NodeInfo { return n[t] }

// info is the cluster as the request names it, else as it was discovered.
func (c *clusterService) info(ctx context.Context, in *clusterapi.HealthCheckRequest) (cluster.Info, error) {
	controlPlanes, workers := in.GetClusterInfo().GetControlPlaneNodes(), in.GetClusterInfo().GetWorkerNodes()
	if len(controlPlanes)+len(workers) > 0 {
		all := nodes{}

		var err error
		if all[machine.TypeControlPlane], err = cluster.IPsToNodeInfos(controlPlanes); err != nil {
			return nil, err
		}

		all[machine.TypeWorker], err = cluster.IPsToNodeInfos(workers)

		return all, err
	}

	members, err := safe.StateListAll[*clusterres.Member](ctx, c.s.State)
	if err != nil {
		return nil, err
	}

	return check.NewDiscoveredClusterInfo(safe.ToSlice(members, func(m *clusterres.Member) *clusterres.Member { return m }))
}

type reporter struct {
	stream clusterapi.ClusterService_HealthCheckServer
	last   string
}

// Update sends a line whenever it differs from the one before.
func (r *reporter) Update(condition conditions.Condition) {
	if line := strings.TrimSpace(fmt.Sprintf("waiting for %s", condition)); line != r.last {
		r.last = line
		_ = r.stream.Send(&clusterapi.HealthCheckProgress{Message: line}) // the checks end with the stream's context
	}
}
