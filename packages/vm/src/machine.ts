import type { Cluster, HostFiles, Node } from '@talosmith/core'

/** How a domain runs: on the processor, or emulated. */
export type DomainType = 'kvm' | 'qemu'

/** Everything about a domain that the settings decide: plain data, compared field by field. */
export interface Machine {
  readonly name: string
  readonly cluster: string
  readonly role: Node['role']
  readonly type: DomainType
  readonly cpu: number
  readonly cpuModel: string
  readonly memoryMib: number
  readonly uefi: boolean
  readonly mac: string
  /** `bridge br0` or `network default`. */
  readonly network: string
  readonly guestAgent: boolean
  readonly disk: string
  readonly seed: string
}

/** The machine that a node should be on a host of that kind. */
export function describeMachine(
  cluster: Cluster,
  node: Node,
  files: HostFiles,
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
    uefi: settings.UEFI,
    mac: node.mac,
    network:
      settings.NETWORK_BRIDGE === undefined
        ? `network ${settings.NETWORK_NAME}`
        : `bridge ${settings.NETWORK_BRIDGE}`,
    guestAgent: cluster.image.hasGuestAgent,
    disk: files.disk(node),
    seed: files.seed(node),
  }
}

/** The host's own processor can't be passed through to an emulated machine: it gets all that QEMU has. */
function cpuModelFor(asked: string, type: DomainType): string {
  if (asked === 'max') return 'maximum'
  return type === 'qemu' && asked.startsWith('host-') ? 'maximum' : asked
}
