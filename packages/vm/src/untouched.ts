/** Lists what destroying a cluster leaves alone. */
import type { Cluster } from '@talosmith/core'
import type { ObservedHost } from './observe.ts'
import { clusterDomains } from './place.ts'

/** Domains and files that are named like the cluster's, but belong to other owners; a sentence each. */
export function describeUntouched(cluster: Cluster, hosts: readonly ObservedHost[]): string[] {
  return hosts.flatMap((observed) => {
    const ours = new Set(
      clusterDomains(cluster, observed).flatMap(({ own }) => (own === undefined ? [] : [own.disk])),
    )
    return [
      ...observed.domains
        .filter(({ name, owner }) => owner !== cluster.name && isNodeName(cluster.name, name))
        .map(({ name, owner }) =>
          owner === undefined
            ? `virtual machine ${name} on ${observed.host}: not created by Talosmith`
            : `virtual machine ${name} on ${observed.host}: belongs to cluster ${owner}`,
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
