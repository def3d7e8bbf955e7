import type { Cluster } from '@talosmith/core'
import type { ObservedHost } from './observe.ts'
import { clusterDomains } from './place.ts'

/** What destroying leaves alone although its name is like that of something of ours; a sentence each. */
export function describeUntouched(cluster: Cluster, hosts: readonly ObservedHost[]): string[] {
  return hosts.flatMap((seen) => {
    const ours = new Set(
      clusterDomains(cluster, seen).flatMap(({ own }) => (own === undefined ? [] : [own.disk])),
    )
    return [
      ...seen.domains
        .filter(({ name, owner }) => owner !== cluster.name && isNodeName(cluster.name, name))
        .map(({ name, owner }) =>
          owner === undefined
            ? `virtual machine ${name} on ${seen.host}: not made by Talosmith`
            : `virtual machine ${name} on ${seen.host}: of cluster ${owner}`,
        ),
      ...[...seen.disks.keys()]
        .filter((path) => !ours.has(path))
        .map((path) => `${path} on ${seen.host}: no machine of this cluster uses it`),
      ...[...seen.seeds]
        .filter(([, mark]) => mark?.cluster !== cluster.name)
        .map(([path]) => `${path} on ${seen.host}: no seed ISO of this cluster`),
    ]
  })
}

function isNodeName(cluster: string, name: string): boolean {
  return name.startsWith(`${cluster}-`) && /^(?:cp|w)\d+$/.test(name.slice(cluster.length + 1))
}
