import type { Cluster, Node } from '@talosmith/core'

/** How a domain runs: on the processor, or emulated. */
export type DomainType = 'kvm' | 'qemu'

/** What a machine's network card is attached to. */
export interface Attachment {
  /** libvirt's type of the interface: bridge, network, or another one that was set by hand. */
  readonly type: string
  /** Of the bridge or the network. */
  readonly name: string
}

/** Everything about a domain that the settings decide: plain data, compared field by field. */
export interface Machine {
  readonly name: string
  readonly cluster: string
  readonly role: Node['role']
  readonly type: DomainType
  readonly cpu: number
  /** A libvirt CPU mode, or the name of a model. */
  readonly cpuModel: string
  readonly memoryMib: number
  /** The same, unless somebody set only one of both: without a balloon, this is what the machine gets. */
  readonly maxMemoryMib: number
  readonly uefi: boolean
  readonly mac: string
  /** Undefined: it has no network card. */
  readonly network: Attachment | undefined
  readonly guestAgent: boolean
  readonly disk: string
  readonly seed: string
}

/** What is noted in a domain when it is made, and never compared: an upgraded machine keeps its first image. */
export interface Origin {
  readonly image: string
  readonly diskGib: number
  /** The libvirt address it was made through, without its options. */
  readonly uri: string
  /** Whether the disks' file system can do O_DIRECT; QEMU's cache=none does not start without it. */
  readonly directIo: boolean
}

/** The machine that a node should be, its files being `disk` and `seed`. */
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

/** The host's own processor can't be passed through to an emulated machine: it gets all that QEMU has. */
function cpuModelFor(asked: string, type: DomainType): string {
  if (asked === 'max') return 'maximum'
  return type === 'qemu' && asked.startsWith('host-') ? 'maximum' : asked
}

/** The libvirt address of one of the cluster's hosts, without options such as key files. */
export function plainUri({ settings }: Pick<Cluster, 'settings'>, index: number): string {
  return (settings.LIBVIRT_URI[index] ?? '').replace(/\?.*$/s, '')
}
