/** Codes of problems that more than one command reports. */

/** One problem, one code, one heading in docs/troubleshooting. A code that only one module reports is written there. */
export const codes = {
  /** The settings would give a running cluster other addresses. */
  addressFixed: 'ADDRESS_FIXED',
  /** The bridge or libvirt network is not in NETWORK_CIDR. */
  addressOutsideNetwork: 'ADDRESS_OUTSIDE_NETWORK',
  /** Another machine uses an address of the cluster. */
  addressTaken: 'ADDRESS_TAKEN',
  /** The API server has a certificate of another CA, or rejects the cluster's kubeconfig. */
  apiNotOurs: 'API_NOT_OURS',
  /** A control plane that the settings no longer name still runs. */
  controlPlanesLeft: 'CONTROL_PLANES_LEFT',
  /** A CPU below x86-64-v2. */
  cpuLevelTooLow: 'CPU_LEVEL_TOO_LOW',
  /** The disk of a machine existed, and is missing now. */
  diskLost: 'DISK_LOST',
  /** CLUSTER_ENDPOINT is a name that does not resolve. */
  endpointUnresolved: 'ENDPOINT_UNRESOLVED',
  /** The Image Factory does not answer, to this machine or to a KVM host. */
  factoryUnreachable: 'FACTORY_UNREACHABLE',
  /** The KVM host has no UEFI firmware for QEMU. */
  firmwareMissing: 'FIRMWARE_MISSING',
  /** A machine cannot be restarted safely now: etcd or a workload needs it. */
  gateClosed: 'GATE_CLOSED',
  /** No machine answers for NETWORK_GATEWAY. */
  gatewaySilent: 'GATEWAY_SILENT',
  /** A machine with the guest agent's extension has no virtio channel for it. */
  guestAgentChannelMissing: 'GUEST_AGENT_CHANNEL_MISSING',
  /** Programs are missing on a KVM host. */
  hostToolsMissing: 'HOST_TOOLS_MISSING',
  /** The Talos image, downloaded or named by IMAGE_PATH, is not on the KVM host. */
  imageMissing: 'IMAGE_MISSING',
  /** The Kubernetes API of the cluster refused a request. */
  kubernetesRefused: 'KUBERNETES_REFUSED',
  /** The Kubernetes API of the cluster does not answer. */
  kubernetesUnreachable: 'KUBERNETES_UNREACHABLE',
  /** The NFS server does not answer on its port, to a node or to a KVM host. */
  nfsNoAnswer: 'NFS_NO_ANSWER',
  /** Another machine has the MAC address of one of the cluster. */
  macTaken: 'MAC_TAKEN',
  /** No host has the virtual machine. */
  machineMissing: 'MACHINE_MISSING',
  /** This machine has no way to the addresses of the machines, or another machine of the cluster has none. */
  machinesUnreachable: 'MACHINES_UNREACHABLE',
  /** A machine's config has other secrets than this cluster's. */
  nodeForeign: 'NODE_FOREIGN',
  /** talosconfig or kubeconfig is missing, or belongs to another cluster. */
  notStarted: 'NOT_STARTED',
  /** A machine or file has a name of this cluster, and belongs to another owner. */
  vmNotOurs: 'VM_NOT_OURS',
  /** A folder holds none of the disks that it held: its file system is not mounted. */
  poolEmpty: 'POOL_EMPTY',
  /** A file system of a KVM host does not answer: its server is down. */
  storageSilent: 'STORAGE_SILENT',
  /** The storage pool has too little free space, for new disks or for running machines. */
  poolFull: 'POOL_FULL',
  /** The storage pool is defined but not active. */
  poolInactive: 'POOL_INACTIVE',
  /** There is no storage pool with that name. */
  poolNotFound: 'POOL_NOT_FOUND',
  /** The folder of the storage pool does not exist, or cannot be read. */
  poolUnreadable: 'POOL_UNREADABLE',
  /** The storage pool is not a folder of files. */
  poolNotAFolder: 'POOL_NOT_A_FOLDER',
  /** iptables on the KVM host drops what the machines send or receive. */
  trafficDropped: 'TRAFFIC_DROPPED',
  /** secrets.yaml is missing, and files are left of the cluster that it was created for. */
  secretsLost: 'SECRETS_LOST',
} as const
