/** The machines of a cluster, derived from its settings. */
import { addressAt, contains } from './addresses.ts'
import type { Cluster } from './cluster.ts'
import { placeMachines } from './placement.ts'
import type { Settings } from './settings/schema.ts'

export type Role = 'controlplane' | 'worker'

/** One machine of a cluster, as the settings describe it. */
export interface Node {
  /** Also its host name and the name of its libvirt domain: home-cp1, home-w1. */
  readonly name: string
  readonly role: Role
  readonly address: string
  readonly mac: string
  readonly cpu: number
  readonly memoryMib: number
  readonly diskGib: number
  /** Index of its KVM host in LIBVIRT_URI. */
  readonly host: number
}

/** The machine of this name. Throws for a bug: a plan names only machines of its cluster. */
export function nodeNamed({ name, nodes }: Pick<Cluster, 'name' | 'nodes'>, target: string): Node {
  const node = nodes.find((one) => one.name === target)
  if (node === undefined) throw new Error(`${target} is not a machine of cluster ${name}`)
  return node
}

/** The most control planes that a cluster can have. */
export const maxControlPlanes = 7

/** The settings that determine the machines. */
export type NodeSettings = Pick<
  Settings,
  | 'CLUSTER_NAME'
  | 'MAC_PREFIX'
  | 'NETWORK_CIDR'
  | 'LIBVIRT_URI'
  | 'CONTROL_PLANE_COUNT'
  | 'CONTROL_PLANE_CPU'
  | 'CONTROL_PLANE_MEMORY_MIB'
  | 'CONTROL_PLANE_DISK_GIB'
  | 'CONTROL_PLANE_IP_OFFSET'
  | 'WORKER_COUNT'
  | 'WORKER_CPU'
  | 'WORKER_MEMORY_MIB'
  | 'WORKER_DISK_GIB'
  | 'WORKER_IP_OFFSET'
  | 'hosts'
  | 'places'
>

/**
 * The machines of a cluster, control planes first, with the KVM hosts that new ones would get (placement.ts). Where
 * machines exist, these say (packages/vm/src/place.ts).
 */
export function describeNodes(settings: NodeSettings): readonly Node[] {
  const node = (role: Role, index: number): Node => {
    const worker = role === 'worker'
    const prefix = worker ? 'WORKER' : 'CONTROL_PLANE'
    return {
      name: `${settings.CLUSTER_NAME}-${worker ? 'w' : 'cp'}${index + 1}`,
      role,
      address: addressAt(settings.NETWORK_CIDR, settings[`${prefix}_IP_OFFSET`] + index),
      mac: `${settings.MAC_PREFIX}:${(index + (worker ? 0x41 : 0x01)).toString(16).padStart(2, '0')}`,
      cpu: settings[`${prefix}_CPU`],
      memoryMib: settings[`${prefix}_MEMORY_MIB`],
      diskGib: settings[`${prefix}_DISK_GIB`],
      host: 0,
    }
  }
  const many = (role: Role, count: number): Node[] =>
    Array.from({ length: count }, (_, index) => node(role, index))
  const nodes = [
    ...many('controlplane', settings.CONTROL_PLANE_COUNT),
    ...many('worker', settings.WORKER_COUNT),
  ]
  return placeNodes(settings, nodes)
}

/** Nodes with their hosts: those in `fixed`, by name, then those of PLACE_<machine>, then the others. */
export function placeNodes(
  settings: Pick<Settings, 'LIBVIRT_URI' | 'hosts' | 'places' | 'CLUSTER_NAME'>,
  nodes: readonly Node[],
  fixed: ReadonlyMap<string, number> = new Map(),
): readonly Node[] {
  const pinned = Object.entries(settings.places).map(
    ([end, index]) => [`${settings.CLUSTER_NAME}-${end}`, index] as const,
  )
  const places = placeMachines(
    nodes,
    settings.LIBVIRT_URI.map((_, index) => settings.hosts[index]?.weight ?? 1),
    new Map([...pinned, ...fixed]),
  )
  return nodes.map((node) => ({ ...node, host: places.get(node.name) ?? 0 }))
}

/**
 * The control planes that a higher CONTROL_PLANE_COUNT would add, without those whose address the settings give
 * to something else. After the count was lowered they may still exist.
 */
export function furtherControlPlanes({
  settings,
  nodes,
  vip,
  endpoint,
}: Pick<Cluster, 'settings' | 'nodes' | 'vip' | 'endpoint'>): readonly Node[] {
  const taken = new Set([...nodes.map(({ address }) => address), vip, new URL(endpoint).hostname])
  return describeNodes({ ...settings, CONTROL_PLANE_COUNT: maxControlPlanes }).filter(
    ({ role, address }) =>
      role === 'controlplane' && !taken.has(address) && contains(settings.NETWORK_CIDR, address),
  )
}
