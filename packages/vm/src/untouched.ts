/** Lists what destroying a cluster leaves alone. */
import type { Cluster } from '@talosmith/core'
import { otherDiskOf, otherUsers } from './disk-use.ts'
import type { ObservedHost } from './observe.ts'
import { clusterDomains } from './place.ts'

/** Domains and files that are named like the cluster's, but belong to other owners; a sentence each. */
export function describeUntouched(cluster: Cluster, hosts: readonly ObservedHost[]): string[] {
  return hosts.flatMap((observed) => {
    const machines = clusterDomains(cluster, observed)
    const ours = new Set(
      machines.flatMap(({ own, attached }) => [own?.disk, ...attached.map(({ source }) => source)]),
    )
    const overlays = observed.overlays.filter(({ isInUse }) => !isInUse)
    const inUse = new Set(
      observed.overlays.filter(({ isInUse }) => isInUse).map(({ path }) => path),
    )
    return [
      ...observed.domains
        .filter(({ name, owner }) => owner !== cluster.name && isNodeName(cluster.name, name))
        .map(({ name, owner }) =>
          owner === undefined
            ? `virtual machine ${name} on ${observed.host}: not created by Talosmith`
            : `virtual machine ${name} on ${observed.host}: belongs to cluster ${owner}`,
        ),
      ...machines.flatMap((domain) => {
        const users = otherUsers(domain, observed).map(({ name }) => name)
        const other = otherDiskOf(domain, observed)
        return [
          ...(users.length === 0
            ? []
            : [
                `${domain.own?.disk} on ${observed.host}: virtual machine ${users.join(', ')} uses it`,
              ]),
          ...(other === undefined || inUse.has(other.source)
            ? []
            : [
                `${other.source} on ${observed.host}: ${domain.name} uses it, but it was not created by Talosmith`,
              ]),
        ]
      }),
      ...overlays.map(
        ({ path, disk }) =>
          `${path} on ${observed.host}: an overlay of ${disk}, of no use without it`,
      ),
      ...[...observed.disks.keys()]
        .filter((path) => !ours.has(path))
        .map((path) => `${path} on ${observed.host}: no machine of this cluster uses it`),
      ...[...observed.seeds]
        .filter(([, marker]) => marker?.cluster !== cluster.name)
        .map(([path]) => `${path} on ${observed.host}: not a seed ISO of this cluster`),
    ]
  })
}

function isNodeName(cluster: string, name: string): boolean {
  return name.startsWith(`${cluster}-`) && /^(?:cp|w)\d+$/.test(name.slice(cluster.length + 1))
}
