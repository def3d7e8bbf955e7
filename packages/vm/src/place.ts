/** Which host, domain and files belong to a node. */
import type { Cluster, Node } from '@talosmith/core'
import type { ObservedDisk } from './observed-files.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'

/**
 * The host of a node: the one that has its machine, otherwise the one that the settings assign.
 * So a machine stays on its host when a host is added to LIBVIRT_URI.
 */
export function hostOf(
  { name: cluster }: Pick<Cluster, 'name'>,
  node: Node,
  hosts: readonly ObservedHost[],
): ObservedHost | undefined {
  return (
    hosts.find((observed) => domainOf(node, observed)?.owner === cluster) ??
    hosts.find(({ index }) => index === node.host)
  )
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
