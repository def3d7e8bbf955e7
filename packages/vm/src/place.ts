import type { Cluster, Node } from '@talosmith/core'
import type { ObservedDisk } from './observe-files.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'

/**
 * The host of a node: the one that has its machine, otherwise the one that the settings place it on.
 * So a machine stays where it is when LIBVIRT_URI gets another host.
 */
export function hostOf(
  { name: cluster }: Pick<Cluster, 'name'>,
  node: Node,
  hosts: readonly ObservedHost[],
): ObservedHost | undefined {
  return (
    hosts.find((seen) => domainOf(node, seen)?.owner === cluster) ??
    hosts.find(({ index }) => index === node.host)
  )
}

/** The domain of a node's name on a host, whoever's it is. */
export function domainOf(
  { name }: Pick<Node, 'name'>,
  { domains }: ObservedHost,
): ObservedDomain | undefined {
  return domains.find((domain) => domain.name === name)
}

/** The disk of a node: the one that its machine has, wherever that is, otherwise the one in the pool. */
export function diskOf(
  cluster: Pick<Cluster, 'name'>,
  node: Node,
  seen: ObservedHost,
): ObservedDisk | undefined {
  return seen.disks.get(pathsOf(cluster, node, seen).disk)
}

/** Where a node's files are; an existing machine keeps its own, also when the pool is another by now. */
export function pathsOf(
  { name: cluster }: Pick<Cluster, 'name'>,
  node: Node,
  seen: ObservedHost,
): { readonly disk: string; readonly seed: string } {
  const domain = domainOf(node, seen)
  const own = domain?.owner === cluster ? domain.own : undefined
  return {
    disk: own?.disk || seen.files.disk(node),
    seed: own?.seed || seen.files.seed(node),
  }
}

/** Every machine of the cluster on a host, also those that the settings no longer ask for; workers first. */
export function clusterDomains(
  { name: cluster }: Pick<Cluster, 'name'>,
  { domains }: ObservedHost,
): ObservedDomain[] {
  return domains.filter(({ owner }) => owner === cluster).sort(workersFirst)
}

/** The order in which machines stop; the other way round they start. */
export function workersFirst(
  { machine: a }: Pick<ObservedDomain, 'machine'>,
  { machine: b }: Pick<ObservedDomain, 'machine'>,
): number {
  return Number(a.role === 'controlplane') - Number(b.role === 'controlplane')
}

/** The same host once the machines of the cluster are gone: what is then left is nobody's. */
export function withoutMachines(cluster: Pick<Cluster, 'name'>, seen: ObservedHost): ObservedHost {
  return { ...seen, domains: seen.domains.filter(({ owner }) => owner !== cluster.name) }
}
