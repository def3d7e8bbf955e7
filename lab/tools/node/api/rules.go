package api

import (
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/role"

	"talosmith.dev/lab/tools/node/resources"
)

var (
	admin    = role.MakeSet(role.Admin)
	operator = role.MakeSet(role.Admin, role.Operator)
	reader   = role.MakeSet(role.Admin, role.Operator, role.Reader)
	backup   = role.MakeSet(role.Admin, role.Operator, role.EtcdBackup)
	etcdRead = role.MakeSet(role.Admin, role.Operator, role.Reader, role.EtcdBackup)
	meta     = role.MakeSet(role.Admin, role.MetaWriter)
)

// rules are the roles that may call a method; a method that is not here takes an admin.
// ApplyConfiguration and BlockDeviceWipe are a reader's only in maintenance mode, which their handlers check.
var rules = func() map[string]role.Set {
	all := map[string]role.Set{}

	for prefix, methods := range map[string]map[string]role.Set{
		"/machine.MachineService/": {
			"ApplyConfiguration": role.MakeSet(role.Admin, role.Reader),
			"EtcdAlarmDisarm":    operator, "EtcdDefragment": operator, "ImagePull": operator, "PacketCapture": operator, "Reboot": operator, "Restart": operator,
			"ServiceRestart": operator, "ServiceStart": operator, "ServiceStop": operator, "Shutdown": operator,
			"EtcdSnapshot": backup, "EtcdAlarmList": etcdRead, "EtcdMemberList": etcdRead, "EtcdStatus": etcdRead,
			"MetaWrite": meta, "MetaDelete": meta,
			"CPUInfo": reader, "CPUFreqStats": reader, "Containers": reader, "DiskStats": reader, "DiskUsage": reader, "Dmesg": reader, "Events": reader,
			"Hostname": reader, "ImageList": reader, "List": reader, "LoadAvg": reader, "Logs": reader, "LogsContainers": reader, "Memory": reader, "Mounts": reader,
			"NetworkDeviceStats": reader, "Netstat": reader, "Processes": reader, "ServiceList": reader, "Stats": reader, "SystemStat": reader, "Version": reader,
		},
		"/machine.ImageService/": {
			"List": reader, "Pull": operator, "Verify": role.MakeSet(role.Admin, role.Operator, role.Reader, role.ImageVerifier),
		},
		"/cluster.ClusterService/":   {"HealthCheck": reader},
		"/inspect.InspectService/":   {"ControllerRuntimeDependencies": reader},
		"/cosi.resource.State/":      {"Get": reader, "List": reader, "Watch": reader},
		"/storage.StorageService/":   {"Disks": reader, "BlockDeviceWipe": role.MakeSet(role.Admin, role.Reader)},
		"/time.TimeService/":         {"Time": reader, "TimeCheck": reader},
		"/machine.LifecycleService/": {"Install": admin, "Upgrade": admin},
	} {
		for method, roles := range methods {
			all[prefix+method] = roles
		}
	}

	return all
}()

func readOnly(st state.State) state.CoreState { return resources.ReadOnly(st, Roles) }
