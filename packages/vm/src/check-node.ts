/** Checks one machine against its host: ownership, addresses, and changes that are not possible in place. */
import { codes, Problem, quote, type Cluster, type Node } from '@talosmith/core'
import { diskInUse, otherDiskOf, type OtherDisk } from './disk-use.ts'
import type { ObservedDomain, ObservedHost } from './observe.ts'
import { domainOf } from './place.ts'
import { reservationProblems } from './reservations.ts'
import { gib } from './sizes.ts'

const unchanged = 'nothing was changed'

/** What prevents one machine from being created or changed on its host. */
export function nodeProblems(
  cluster: Cluster,
  node: Node,
  observed: ObservedHost,
  hosts: readonly ObservedHost[],
): Problem[] {
  return [
    ...ofOwnership(cluster, node, observed, hosts),
    ...reservationProblems(cluster, node, observed),
    ...(domainOf(node, observed)?.owner === cluster.name
      ? ofExisting(cluster, node, observed)
      : []),
  ]
}

/** Conflicting domains and files of other owners: reported, never touched. */
function ofOwnership(
  { name }: Cluster,
  node: Node,
  observed: ObservedHost,
  hosts: readonly ObservedHost[],
): Problem[] {
  const problems: Problem[] = []
  const notOurs = (message: string, because: string, hint: string): void => {
    problems.push(new Problem(codes.vmNotOurs, message, { because, now: unchanged, hint }))
  }
  const twice = hosts.filter((one) => domainOf(node, one)?.owner === name)
  if (twice.length > 1)
    notOurs(
      `${node.name} exists on ${twice.map(({ host }) => host).join(' and ')}`,
      'both have the metadata of this cluster, so the real one cannot be determined',
      `look at both (virsh console ${node.name}) and undefine the wrong one`,
    )
  const domain = domainOf(node, observed)
  // strangerProblems reports another cluster of this name.
  if (domain !== undefined && domain.owner !== name && domain.strangerBecause === undefined)
    notOurs(
      `${observed.host} has a virtual machine ${node.name} that does not belong to cluster ${name}`,
      domain.owner === undefined
        ? 'it was not created by Talosmith: its metadata has no talosmith element'
        : `it belongs to cluster ${domain.owner}`,
      `rename it (virsh domrename ${node.name} ...), or choose another CLUSTER_NAME`,
    )
  const disk = observed.disks.get(observed.files.disk(node))
  if (domain === undefined && disk !== undefined)
    notOurs(
      `${disk.path} on ${observed.host} already exists, and no machine of cluster ${name} uses it`,
      `it ${disk.qcow2?.backing === undefined ? '' : `is an overlay of ${disk.qcow2.backing} and `}may contain your data`,
      `inspect it (qemu-img info ${disk.path}), move or remove it, then run the same command again`,
    )
  const seed = observed.files.seed(node)
  const marker = observed.seeds.get(seed)
  if (observed.seeds.has(seed) && marker?.cluster !== name && domain?.own?.seed !== seed)
    notOurs(
      `${seed} on ${observed.host} already exists and is not a seed ISO of cluster ${name}`,
      marker === undefined
        ? 'it was not created by Talosmith'
        : `it belongs to cluster ${marker.cluster}`,
      'move it, or choose another CLUSTER_NAME or SEED_ISO_DIR',
    )
  const clash = observed.domains.find(
    (one) =>
      one.name !== node.name &&
      one.machine.mac === node.mac &&
      one.owner !== name &&
      one.strangerBecause === undefined,
  )
  if (clash !== undefined)
    problems.push(
      new Problem(
        codes.macTaken,
        `${clash.name} on ${observed.host} has the MAC address ${node.mac} of ${node.name}`,
        {
          because: 'two machines with the same MAC address on one network both lose packets',
          now: unchanged,
          hint: 'set MAC_PREFIX to other bytes',
        },
      ),
    )
  return problems
}

/** Changes that an existing machine cannot get in place. */
function ofExisting(cluster: Cluster, node: Node, observed: ObservedHost): Problem[] {
  const problems: Problem[] = []
  const prefix = node.role === 'worker' ? 'WORKER' : 'CONTROL_PLANE'
  const has = (diskInUse(cluster, node, observed)?.qcow2?.virtualBytes ?? 0) / gib
  if (has > node.diskGib)
    problems.push(
      new Problem(
        'DISK_SHRINK',
        `the disk of ${node.name} has ${has} GiB and would shrink to ${node.diskGib} GiB`,
        {
          because: `shrinking a disk by ${has - node.diskGib} GiB would lose data`,
          now: unchanged,
          hint: `set ${prefix}_DISK_GIB to at least ${Math.ceil(has)}, or destroy the cluster and create it again`,
        },
      ),
    )
  const domain = domainOf(node, observed)
  const other = domain && otherDiskOf(domain, observed)
  if (domain !== undefined && other !== undefined && has > 0 && has < node.diskGib)
    problems.push(diskNotOurs(domain, observed, other, { has, wanted: node.diskGib, prefix }))
  if (domain !== undefined && domain.machine.uefi !== cluster.settings.UEFI)
    problems.push(
      new Problem(
        'FIRMWARE_FIXED',
        `${node.name} was created with ${domain.machine.uefi ? 'UEFI' : 'BIOS'}, which cannot be changed in place`,
        {
          because: 'the system on its disk boots only with that firmware',
          now: unchanged,
          hint: `set UEFI=${domain.machine.uefi}, or destroy the cluster and create it again`,
        },
      ),
    )
  return problems
}

/** The Problem of growing the disk of a machine that uses another one: a snapshot of it, for example. */
function diskNotOurs(
  { name, own, live }: ObservedDomain,
  { host }: ObservedHost,
  { source, isOverlay }: OtherDisk,
  { has, wanted, prefix }: { has: number; wanted: number; prefix: string },
): Problem {
  const start = live.state === 'shut off' ? `start ${name}, then ` : ''
  // Without --base, everything down to the image that all machines share would be merged.
  const merge = `${start}merge the snapshot on ${host} (virsh blockcommit ${name} vda --base ${quote(own?.disk ?? '')} --active --pivot --wait), and run the same command again`
  const keep = `set ${prefix}_DISK_GIB=${Math.floor(has)}`
  return new Problem(
    'DISK_NOT_OURS',
    `${name} does not use the disk that was created for it, which would grow to ${wanted} GiB`,
    {
      because: isOverlay
        ? `it uses ${source}, an external snapshot of ${own?.disk} with ${has} GiB: growing the disk below it would not reach the machine`
        : `it uses ${source} with ${has} GiB, not ${own?.disk}`,
      now: unchanged,
      hint: isOverlay ? `${merge}; or ${keep}` : `grow it yourself, or ${keep}`,
    },
  )
}
