package api

import (
	"context"
	"strings"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/prometheus/procfs"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Containers implements machine.MachineService. There is no container runtime: of Kubernetes' containers those of the control plane are listed, which
// run as processes; the machine's own services are none.
func (s *Server) Containers(ctx context.Context, in *machine.ContainersRequest) (*machine.ContainersResponse, error) {
	switch in.GetNamespace() {
	case "":
		return nil, status.Error(codes.InvalidArgument, "namespace can't be empty")
	case constants.K8sContainerdNamespace:
	default:
		return &machine.ContainersResponse{Messages: []*machine.Container{{}}}, nil
	}

	pods, err := safe.StateListAll[*k8s.StaticPodStatus](ctx, s.State)
	if err != nil {
		return nil, err
	}

	pids := map[string]int{}

	if all, err := procfs.AllProcs(); err == nil {
		for _, p := range all {
			if args, err := p.CmdLine(); err == nil && len(args) > 0 {
				pids[args[0][strings.LastIndex(args[0], "/")+1:]] = p.PID
			}
		}
	}

	out := &machine.Container{}

	for pod := range pods.All() {
		id := pod.Metadata().ID()
		name := strings.TrimSuffix(id[strings.LastIndex(id, "/")+1:], "-"+s.M.Hostname())
		out.Containers = append(out.Containers, &machine.ContainerInfo{
			Namespace: in.GetNamespace(), Id: id + ":" + name, PodId: id, Name: name, Image: s.imageOf(name), Pid: uint32(pids[name]), Status: "CONTAINER_RUNNING",
		})
	}

	return &machine.ContainersResponse{Messages: []*machine.Container{out}}, nil
}

func (s *Server) imageOf(name string) string {
	cfg := s.M.Config()
	if cfg == nil || cfg.Cluster() == nil {
		return ""
	}

	switch name {
	case "kube-apiserver":
		return cfg.Cluster().APIServer().Image()
	case "kube-controller-manager":
		return cfg.Cluster().ControllerManager().Image()
	case "kube-scheduler":
		return cfg.Cluster().Scheduler().Image()
	default:
		return ""
	}
}

// Stats implements machine.MachineService, of the same processes.
func (s *Server) Stats(ctx context.Context, in *machine.StatsRequest) (*machine.StatsResponse, error) {
	list, err := s.Containers(ctx, &machine.ContainersRequest{Namespace: in.GetNamespace(), Driver: in.GetDriver()})
	if err != nil {
		return nil, err
	}

	out := &machine.Stats{}

	for _, c := range list.GetMessages()[0].GetContainers() {
		p, err := procfs.NewProc(int(c.GetPid()))
		if err != nil {
			continue // ended meanwhile
		}

		if st, err := p.Stat(); err == nil {
			out.Stats = append(out.Stats, &machine.Stat{
				Namespace: c.GetNamespace(), Id: c.GetId(), PodId: c.GetPodId(), Name: c.GetName(), MemoryUsage: uint64(st.ResidentMemory()), CpuUsage: uint64(st.CPUTime() * 1e9),
			})
		}
	}

	return &machine.StatsResponse{Messages: []*machine.Stats{out}}, nil
}
