/**
 * The codes of states that more than one command finds, whoever finds them: one state, one code, one heading
 * in docs/troubleshooting. A code that only one place reports is written there.
 */
export const codes = {
  /** Another machine answers for an address of ours. */
  addressTaken: 'ADDRESS_TAKEN',
  /** A processor below x86-64-v2. */
  cpuLevelTooLow: 'CPU_LEVEL_TOO_LOW',
  /** The Image Factory does not answer, to this machine or to a KVM host. */
  factoryUnreachable: 'FACTORY_UNREACHABLE',
  /** The KVM host has no UEFI firmware for QEMU. */
  firmwareMissing: 'FIRMWARE_MISSING',
  /** No machine answers for NETWORK_GATEWAY. */
  gatewaySilent: 'GATEWAY_SILENT',
  /** A machine with the guest agent's extension has no virtio channel for it. */
  guestAgentChannelMissing: 'GUEST_AGENT_CHANNEL_MISSING',
  /** A KVM host lacks programs. */
  hostToolsMissing: 'HOST_TOOLS_MISSING',
  /** The Talos image, downloaded or named by IMAGE_PATH, is not on the KVM host. */
  imageMissing: 'IMAGE_MISSING',
  /** The Kubernetes API of the cluster refused a request. */
  kubernetesRefused: 'KUBERNETES_REFUSED',
  /** The Kubernetes API of the cluster does not answer. */
  kubernetesUnreachable: 'KUBERNETES_UNREACHABLE',
  /** The NFS server does not answer on its port, to a node or to a KVM host. */
  nfsNoAnswer: 'NFS_NO_ANSWER',
  /** A machine runs a config of other secrets than ours. */
  nodeForeign: 'NODE_FOREIGN',
  /** talosconfig or kubeconfig is missing, or of another cluster. */
  notStarted: 'NOT_STARTED',
  /** Too little room in the storage pool, for what is to be made or for what runs. */
  poolFull: 'POOL_FULL',
  /** The storage pool is defined, and not active. */
  poolInactive: 'POOL_INACTIVE',
  /** There is no storage pool of that name. */
  poolNotFound: 'POOL_NOT_FOUND',
  /** The storage pool is not one of files. */
  poolNotAFolder: 'POOL_NOT_A_FOLDER',
} as const
