/** Checks that no machine is moved to another host, or created a second time beside its former disk. */
import { codes, Problem, type Cluster, type Node } from '@talosmith/core'
import type { ObservedHost } from './observe.ts'
import { hostOf, machineHostOf } from './place.ts'

const unchanged = 'nothing was changed'

/**
 * PLACE_FIXED for machines on another host than their PLACE_ setting names, and VM_NOT_OURS for the disk of a machine
 * that no host has on another host than it would be created on. The machines of `recreated` get new disks.
 */
export function placeProblems(
  cluster: Cluster,
  hosts: readonly ObservedHost[],
  recreated: ReadonlySet<string> = new Set(),
): Problem[] {
  return cluster.nodes.flatMap((node) => {
    const has = machineHostOf(cluster, node, hosts)
    if (has !== undefined) return moved(cluster, node, has)
    const assigned = hostOf(cluster, node, hosts)
    // Beside the machine it is reported with the machine's other files; hosts may share a pool.
    if (recreated.has(node.name) || assigned === undefined || diskOn(assigned, node) !== undefined)
      return []
    return hosts.flatMap((other) => {
      const path = diskOn(other, node)
      return path === undefined ? [] : forgotten(node, path, other, assigned)
    })
  })
}

function diskOn({ disks, files }: ObservedHost, node: Node): string | undefined {
  return disks.get(files.disk(node))?.path
}

function moved(cluster: Cluster, { name }: Node, has: ObservedHost): Problem[] {
  const { places, hosts } = cluster.settings
  const machine = name.slice(cluster.name.length + 1)
  const index = places[machine]
  if (index === undefined || index === has.index) return []
  const key = `PLACE_${machine.toUpperCase()}`
  return [
    new Problem(
      'PLACE_FIXED',
      `${name} is on ${has.host}, and ${key} is ${hosts[index]?.name ?? index}`,
      {
        because: 'a machine stays on its host: its disk is there, and is not moved',
        now: unchanged,
        hint: `set ${key}=${hosts[has.index]?.name ?? has.index}, or remove it. To create it on the other host, with an empty disk: first remove it and its disk by hand (docs/operations.md, "Several hosts")`,
      },
    ),
  ]
}

function forgotten(
  node: Node,
  path: string,
  { host }: ObservedHost,
  assigned: ObservedHost,
): Problem {
  return new Problem(
    codes.vmNotOurs,
    `${path} on ${host} is the disk of ${node.name}, which would be created on ${assigned.host} with an empty one`,
    {
      because: 'no host has the machine, but its disk may contain your data',
      now: unchanged,
      hint: `inspect it there (qemu-img info ${path}), move or remove it, then run the same command again`,
    },
  )
}
