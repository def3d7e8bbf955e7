package api

import (
	"bufio"
	"context"
	"os"
	"strings"

	"github.com/prometheus/procfs"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"
)

func value(p *uint64) uint64 {
	if p == nil {
		return 0
	}

	return *p
}

// Memory implements machine.MachineService.
func (s *Server) Memory(context.Context, *emptypb.Empty) (*machine.MemoryResponse, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}

	m, err := proc.Meminfo()
	if err != nil {
		return nil, err
	}

	return &machine.MemoryResponse{Messages: []*machine.Memory{{Meminfo: &machine.MemInfo{
		Memtotal: value(m.MemTotal), Memfree: value(m.MemFree), Memavailable: value(m.MemAvailable), Buffers: value(m.Buffers), Cached: value(m.Cached),
		Swapcached: value(m.SwapCached), Active: value(m.Active), Inactive: value(m.Inactive), Activeanon: value(m.ActiveAnon), Inactiveanon: value(m.InactiveAnon),
		Activefile: value(m.ActiveFile), Inactivefile: value(m.InactiveFile), Unevictable: value(m.Unevictable), Mlocked: value(m.Mlocked),
		Swaptotal: value(m.SwapTotal), Swapfree: value(m.SwapFree), Dirty: value(m.Dirty), Writeback: value(m.Writeback), Anonpages: value(m.AnonPages),
		Mapped: value(m.Mapped), Shmem: value(m.Shmem), Slab: value(m.Slab), Sreclaimable: value(m.SReclaimable), Sunreclaim: value(m.SUnreclaim),
		Kernelstack: value(m.KernelStack), Pagetables: value(m.PageTables), Commitlimit: value(m.CommitLimit), Committedas: value(m.CommittedAS),
		Vmalloctotal: value(m.VmallocTotal), Vmallocused: value(m.VmallocUsed), Hugepagesize: value(m.Hugepagesize),
	}}}}, nil
}

// LoadAvg implements machine.MachineService.
func (s *Server) LoadAvg(context.Context, *emptypb.Empty) (*machine.LoadAvgResponse, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}

	l, err := proc.LoadAvg()
	if err != nil {
		return nil, err
	}

	return &machine.LoadAvgResponse{Messages: []*machine.LoadAvg{{Load1: l.Load1, Load5: l.Load5, Load15: l.Load15}}}, nil
}

// SystemStat implements machine.MachineService.
func (s *Server) SystemStat(context.Context, *emptypb.Empty) (*machine.SystemStatResponse, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}

	st, err := proc.Stat()
	if err != nil {
		return nil, err
	}

	cpu := func(c procfs.CPUStat) *machine.CPUStat {
		return &machine.CPUStat{
			User: c.User, Nice: c.Nice, System: c.System, Idle: c.Idle, Iowait: c.Iowait, Irq: c.IRQ, SoftIrq: c.SoftIRQ, Steal: c.Steal, Guest: c.Guest, GuestNice: c.GuestNice,
		}
	}

	out := &machine.SystemStat{
		BootTime: st.BootTime, CpuTotal: cpu(st.CPUTotal), IrqTotal: st.IRQTotal, ContextSwitches: st.ContextSwitches, ProcessCreated: st.ProcessCreated,
		ProcessRunning: st.ProcessesRunning, ProcessBlocked: st.ProcessesBlocked, SoftIrqTotal: st.SoftIRQTotal, SoftIrq: &machine.SoftIRQStat{},
	}

	for i := range int64(len(st.CPU)) {
		out.Cpu = append(out.Cpu, cpu(st.CPU[i]))
	}

	return &machine.SystemStatResponse{Messages: []*machine.SystemStat{out}}, nil
}

// CPUInfo implements machine.MachineService.
func (s *Server) CPUInfo(context.Context, *emptypb.Empty) (*machine.CPUInfoResponse, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}

	infos, err := proc.CPUInfo()
	if err != nil {
		return nil, err
	}

	out := &machine.CPUsInfo{}

	for _, c := range infos {
		out.CpuInfo = append(out.CpuInfo, &machine.CPUInfo{
			Processor: uint32(c.Processor), VendorId: c.VendorID, CpuFamily: c.CPUFamily, Model: c.Model, ModelName: c.ModelName, Stepping: c.Stepping,
			Microcode: c.Microcode, CpuMhz: c.CPUMHz, CacheSize: c.CacheSize, PhysicalId: c.PhysicalID, Siblings: uint32(c.Siblings), CoreId: c.CoreID,
			CpuCores: uint32(c.CPUCores), ApicId: c.APICID, InitialApicId: c.InitialAPICID, Fpu: c.FPU, FpuException: c.FPUException, CpuIdLevel: uint32(c.CPUIDLevel),
			Wp: c.WP, Flags: c.Flags, Bugs: c.Bugs, BogoMips: c.BogoMips, ClFlushSize: uint32(c.CLFlushSize), CacheAlignment: uint32(c.CacheAlignment),
			AddressSizes: c.AddressSizes, PowerManagement: c.PowerManagement,
		})
	}

	return &machine.CPUInfoResponse{Messages: []*machine.CPUsInfo{out}}, nil
}

// Mounts implements machine.MachineService.
func (s *Server) Mounts(context.Context, *emptypb.Empty) (*machine.MountsResponse, error) {
	f, err := os.Open("/proc/mounts")
	if err != nil {
		return nil, err
	}

	defer f.Close() // read only

	out := &machine.Mounts{}

	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}

		m := &machine.MountStat{Filesystem: fields[0], MountedOn: fields[1]}

		var st unix.Statfs_t
		if unix.Statfs(fields[1], &st) == nil {
			m.Size, m.Available = uint64(st.Bsize)*st.Blocks, uint64(st.Bsize)*st.Bavail
		}

		out.Stats = append(out.Stats, m)
	}

	return &machine.MountsResponse{Messages: []*machine.Mounts{out}}, nil
}

// DiskStats implements machine.MachineService.
func (s *Server) DiskStats(context.Context, *emptypb.Empty) (*machine.DiskStatsResponse, error) {
	text, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return nil, err
	}

	out := &machine.DiskStats{Total: &machine.DiskStat{}}

	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 14 {
			continue
		}

		n := numbers(fields[3:])
		d := &machine.DiskStat{
			Name: fields[2], ReadCompleted: n(0), ReadMerged: n(1), ReadSectors: n(2), ReadTimeMs: n(3), WriteCompleted: n(4), WriteMerged: n(5), WriteSectors: n(6),
			WriteTimeMs: n(7), IoInProgress: n(8), IoTimeMs: n(9), IoTimeWeightedMs: n(10),
		}
		out.Devices = append(out.Devices, d)
		out.Total.ReadCompleted += d.GetReadCompleted()
		out.Total.ReadSectors += d.GetReadSectors()
		out.Total.WriteCompleted += d.GetWriteCompleted()
		out.Total.WriteSectors += d.GetWriteSectors()
	}

	return &machine.DiskStatsResponse{Messages: []*machine.DiskStats{out}}, nil
}

// NetworkDeviceStats implements machine.MachineService.
func (s *Server) NetworkDeviceStats(context.Context, *emptypb.Empty) (*machine.NetworkDeviceStatsResponse, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}

	devices, err := proc.NetDev()
	if err != nil {
		return nil, err
	}

	conv := func(d procfs.NetDevLine) *machine.NetDev {
		return &machine.NetDev{
			Name: d.Name, RxBytes: d.RxBytes, RxPackets: d.RxPackets, RxErrors: d.RxErrors, RxDropped: d.RxDropped, RxMulticast: d.RxMulticast, TxBytes: d.TxBytes,
			TxPackets: d.TxPackets, TxErrors: d.TxErrors, TxDropped: d.TxDropped, TxCollisions: d.TxCollisions,
		}
	}

	out := &machine.NetworkDeviceStats{Total: conv(devices.Total())}
	for _, d := range devices {
		out.Devices = append(out.Devices, conv(d))
	}

	return &machine.NetworkDeviceStatsResponse{Messages: []*machine.NetworkDeviceStats{out}}, nil
}

// Processes implements machine.MachineService.
func (s *Server) Processes(context.Context, *emptypb.Empty) (*machine.ProcessesResponse, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, err
	}

	out := &machine.Process{}

	for _, p := range all {
		st, err := p.Stat()
		if err != nil {
			continue // ended meanwhile
		}

		command, _ := p.CmdLine()       // a kernel thread
		executable, _ := p.Executable() // a kernel thread
		out.Processes = append(out.Processes, &machine.ProcessInfo{
			Pid: int32(p.PID), Ppid: int32(st.PPID), State: st.State, Threads: int32(st.NumThreads), CpuTime: st.CPUTime(), VirtualMemory: uint64(st.VirtualMemory()),
			ResidentMemory: uint64(st.ResidentMemory()), Command: st.Comm, Executable: executable, Args: strings.Join(command, " "),
		})
	}

	return &machine.ProcessesResponse{Messages: []*machine.Process{out}}, nil
}
