/** Which host, domain and files belong to a node. */
import { placeNodes, type Cluster, type Node } from '@talosmith/core'
import type { ObservedDisk } from './observed-files.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'

/**
 * The cluster with the hosts that its machines are on, and those that the others would get beside them: adding,
 * removing or reordering hosts moves none. With a host that was not observed, a machine that no host has is assigned to
 * that one, where it may be: `hostOf` is then undefined.
 */
export function withPlaces(cluster: Cluster, hosts: readonly ObservedHost[]): Cluster {
  const silent = cluster.settings.LIBVIRT_URI.findIndex((_, index) =>
    hosts.every((observed) => observed.index !== index),
  )
  const fixed = new Map(
    cluster.nodes.flatMap((node) => {
      const index =
        machineHostOf(cluster, node, hosts)?.index ?? (silent === -1 ? undefined : silent)
      return index === undefined ? [] : [[node.name, index] as const]
    }),
  )
  const nodes = placeNodes(cluster.settings, cluster.nodes, fixed)
  return {
    ...cluster,
    nodes,
    controlPlanes: nodes.filter(({ role }) => role === 'controlplane'),
    workers: nodes.filter(({ role }) => role === 'worker'),
  }
}

/** The cluster whose machines, once they are removed, are created again on the hosts that its nodes have now. */
export function stayingInPlace(cluster: Cluster): Cluster {
  const places = Object.fromEntries(
    cluster.nodes.map(({ name, host }) => [name.slice(cluster.name.length + 1), host]),
  )
  return { ...cluster, settings: { ...cluster.settings, places } }
}

/** The host that has a node's machine. */
export function machineHostOf(
  { name: cluster }: Pick<Cluster, 'name'>,
  node: Pick<Node, 'name'>,
  hosts: readonly ObservedHost[],
): ObservedHost | undefined {
  return hosts.find((observed) => domainOf(node, observed)?.owner === cluster)
}

/** The host of a node: the one that has its machine, otherwise the one that it is assigned to. */
export function hostOf(
  cluster: Pick<Cluster, 'name'>,
  node: Node,
  hosts: readonly ObservedHost[],
): ObservedHost | undefined {
  return machineHostOf(cluster, node, hosts) ?? hosts.find(({ index }) => index === node.host)
}

/** The domain with a node's name on a host, of any owner. */
export function domainOf(
  { name }: Pick<Node, 'name'>,
  { domains }: ObservedHost,
): ObservedDomain | undefined {
  return domains.find((domain) => domain.name === name)
}

/** The disk of a node: the one that its machine uses, in any folder, otherwise the one in the pool. */
export function diskOf(
  cluster: Pick<Cluster, 'name'>,
  node: Node,
  observed: ObservedHost,
): ObservedDisk | undefined {
  return observed.disks.get(pathsOf(cluster, node, observed).disk)
}

/** The paths of a node's files; an existing machine keeps its own when STORAGE_POOL changes. */
export function pathsOf(
  { name: cluster }: Pick<Cluster, 'name'>,
  node: Node,
  observed: ObservedHost,
): { readonly disk: string; readonly seed: string } {
  const domain = domainOf(node, observed)
  const own = domain?.owner === cluster ? domain.own : undefined
  return {
    disk: own?.disk || observed.files.disk(node),
    seed: own?.seed || observed.files.seed(node),
  }
}

/** Every machine of the cluster on a host, also those no longer in the settings; workers first. */
export function clusterDomains(
  { name: cluster }: Pick<Cluster, 'name'>,
  { domains }: ObservedHost,
): ObservedDomain[] {
  return domains.filter(({ owner }) => owner === cluster).sort(workersFirst)
}

/** The order in which machines stop; they start in the reverse order. */
export function workersFirst(
  { machine: a }: Pick<ObservedDomain, 'machine'>,
  { machine: b }: Pick<ObservedDomain, 'machine'>,
): number {
  return Number(a.role === 'controlplane') - Number(b.role === 'controlplane')
}

/** The host as it is after the cluster's machines are removed. */
export function withoutMachines(
  cluster: Pick<Cluster, 'name'>,
  observed: ObservedHost,
): ObservedHost {
  return { ...observed, domains: observed.domains.filter(({ owner }) => owner !== cluster.name) }
}
