/** The desired properties of a machine. */
import type { Cluster, Node } from '@talosmith/core'

/** How a domain runs: with KVM, or emulated by QEMU. */
export type DomainType = 'kvm' | 'qemu'

/** What a machine's network interface is attached to. */
export interface Attachment {
  /** libvirt's interface type: bridge, network, or another one that was set by hand. */
  readonly type: string
  /** The name of the bridge or network. */
  readonly name: string
}

/** Everything about a domain that the settings determine, as plain data. */
export interface Machine {
  readonly name: string
  readonly cluster: string
  readonly role: Node['role']
  readonly type: DomainType
  readonly cpu: number
  /** A libvirt CPU mode, or the name of a CPU model. */
  readonly cpuModel: string
  readonly memoryMib: number
  /** Usually equal to `memoryMib`; without a balloon device, the machine gets this much. */
  readonly maxMemoryMib: number
  readonly uefi: boolean
  readonly mac: string
  /** Undefined: the machine has no network interface. */
  readonly network: Attachment | undefined
  readonly guestAgent: boolean
  readonly disk: string
  readonly seed: string
}

/** Recorded in a domain when it is created, and never compared: an upgraded machine keeps its first image. */
export interface Origin {
  /** Undefined: rendered without a cluster. */
  readonly clusterId?: string | undefined
  readonly image: string
  readonly diskGib: number
  /** The libvirt URI it was created through, without its options. */
  readonly uri: string
  /** Whether the file system of the disks supports O_DIRECT, which QEMU's cache=none requires. */
  readonly directIo: boolean
}

/** The desired machine of a node, with the files `disk` and `seed`. */
export function describeMachine(
  cluster: Cluster,
  node: Node,
  { disk, seed }: Pick<Machine, 'disk' | 'seed'>,
  type: DomainType,
): Machine {
  const { settings } = cluster
  return {
    name: node.name,
    cluster: cluster.name,
    role: node.role,
    type,
    cpu: node.cpu,
    cpuModel: cpuModelFor(settings.CPU_MODEL, type),
    memoryMib: node.memoryMib,
    maxMemoryMib: node.memoryMib,
    uefi: settings.UEFI,
    mac: node.mac,
    network:
      settings.NETWORK_BRIDGE === undefined
        ? { type: 'network', name: settings.NETWORK_NAME ?? '' }
        : { type: 'bridge', name: settings.NETWORK_BRIDGE },
    guestAgent: cluster.image.hasGuestAgent,
    disk,
    seed,
  }
}

/** The host's CPU cannot be passed through to an emulated machine, which gets libvirt's `maximum` instead. */
function cpuModelFor(configured: string, type: DomainType): string {
  if (configured === 'max') return 'maximum'
  return type === 'qemu' && configured.startsWith('host-') ? 'maximum' : configured
}

/** The libvirt URI of one of the cluster's hosts, without options such as key files. */
export function plainUri({ settings }: Pick<Cluster, 'settings'>, index: number): string {
  return (settings.LIBVIRT_URI[index] ?? '').replace(/\?.*$/s, '')
}
