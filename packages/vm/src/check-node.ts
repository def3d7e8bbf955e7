import { contains, isBetween, Problem, type Cluster, type Node } from '@talosmith/core'
import type { ObservedHost } from './observe.ts'
import { diskOf, domainOf } from './place.ts'

const untouched = 'nothing was changed'
const gib = 2 ** 30

/** What stands in the way of one machine on its host. */
export function nodeProblems(
  cluster: Cluster,
  node: Node,
  seen: ObservedHost,
  hosts: readonly ObservedHost[],
): Problem[] {
  return [
    ...ofOwnership(cluster, node, seen, hosts),
    ...ofAddress(cluster, node, seen),
    ...(domainOf(node, seen)?.owner === cluster.name ? ofExisting(cluster, node, seen) : []),
  ]
}

/** What is in the way and not ours: named, never touched. */
function ofOwnership(
  { name }: Cluster,
  node: Node,
  seen: ObservedHost,
  hosts: readonly ObservedHost[],
): Problem[] {
  const problems: Problem[] = []
  const notOurs = (message: string, because: string, hint: string): void => {
    problems.push(new Problem('VM_NOT_OURS', message, { because, now: untouched, hint }))
  }
  const twice = hosts.filter((one) => domainOf(node, one)?.owner === name)
  if (twice.length > 1)
    notOurs(
      `${node.name} exists on ${twice.map(({ host }) => host).join(' and ')}`,
      'both carry the metadata of this cluster, so nothing tells which is the real one',
      `look at both (virsh console ${node.name}) and undefine the wrong one`,
    )
  const domain = domainOf(node, seen)
  if (domain !== undefined && domain.owner !== name)
    notOurs(
      `${seen.host} has a virtual machine ${node.name} that is not of cluster ${name}`,
      domain.owner === undefined
        ? 'it was not made by Talosmith: its metadata has no element of ours'
        : `it belongs to cluster ${domain.owner}`,
      `rename it (virsh domrename ${node.name} ...), or choose another CLUSTER_NAME`,
    )
  const disk = seen.disks.get(seen.files.disk(node))
  if (domain === undefined && disk !== undefined)
    notOurs(
      `${disk.path} on ${seen.host} is there already, and no machine of cluster ${name} uses it`,
      `it ${disk.qcow2?.backing === undefined ? '' : `is an overlay of ${disk.qcow2.backing} and `}may hold data of yours`,
      `look at it (qemu-img info ${disk.path}), move it away or remove it, then run the same command again`,
    )
  const seed = seen.files.seed(node)
  const mark = seen.seeds.get(seed)
  if (seen.seeds.has(seed) && mark?.cluster !== name && domain?.own?.seed !== seed)
    notOurs(
      `${seed} on ${seen.host} is there already and is no seed ISO of cluster ${name}`,
      mark === undefined ? 'it was not made by Talosmith' : `it belongs to cluster ${mark.cluster}`,
      'move it away, or choose another CLUSTER_NAME or SEED_ISO_DIR',
    )
  const clash = seen.domains.find(
    (one) => one.name !== node.name && one.machine.mac === node.mac && one.owner !== name,
  )
  if (clash !== undefined)
    problems.push(
      new Problem(
        'MAC_TAKEN',
        `${clash.name} on ${seen.host} has the MAC address ${node.mac} of ${node.name}`,
        {
          because: 'two machines with one address on a wire are both lost',
          now: untouched,
          hint: 'set MAC_PREFIX to other bytes',
        },
      ),
    )
  return problems
}

/** What an existing machine can't become. */
function ofExisting(cluster: Cluster, node: Node, seen: ObservedHost): Problem[] {
  const problems: Problem[] = []
  const prefix = node.role === 'worker' ? 'WORKER' : 'CONTROL_PLANE'
  const has = (diskOf(cluster, node, seen)?.qcow2?.virtualBytes ?? 0) / gib
  if (has > node.diskGib)
    problems.push(
      new Problem(
        'DISK_SHRINK',
        `the disk of ${node.name} has ${has} GiB and would shrink to ${node.diskGib} GiB`,
        {
          because: `a disk that is ${has - node.diskGib} GiB smaller would cut off data`,
          now: untouched,
          hint: `set ${prefix}_DISK_GIB to at least ${Math.ceil(has)}, or make the machines anew`,
        },
      ),
    )
  const domain = domainOf(node, seen)
  if (domain !== undefined && domain.machine.uefi !== cluster.settings.UEFI)
    problems.push(
      new Problem(
        'FIRMWARE_FIXED',
        `${node.name} was made with ${domain.machine.uefi ? 'UEFI' : 'BIOS'}, which cannot be changed in place`,
        {
          because: 'what is installed on its disk boots from that firmware only',
          now: untouched,
          hint: `set UEFI=${domain.machine.uefi}, or make the machines anew`,
        },
      ),
    )
  return problems
}

function ofAddress(cluster: Cluster, node: Node, { host, networks }: ObservedHost): Problem[] {
  const name = cluster.settings.NETWORK_NAME
  const own = networks.address
  if (own !== undefined && !contains(`${own.address}/${own.prefixLength}`, node.address))
    return [
      new Problem(
        'ADDRESS_OUTSIDE_NETWORK',
        `${node.name} would get ${node.address}, which is not in the libvirt network ${name}`,
        {
          because: `on ${host} it is ${own.address}/${own.prefixLength}`,
          now: untouched,
          hint: `set NETWORK_CIDR to the network's, and NETWORK_GATEWAY=${own.address}`,
        },
      ),
    ]
  const [start, end] = networks.dhcp ?? []
  if (start === undefined || end === undefined) return []
  const isGiven = (address: string): boolean => isBetween(address, start, end)
  const taken = [
    ...(isGiven(node.address) ? [`${node.name} would get ${node.address}`] : []),
    ...(node === cluster.nodes[0] && cluster.vip !== undefined && isGiven(cluster.vip)
      ? [`CLUSTER_VIP is ${cluster.vip}`]
      : []),
  ]
  return taken.map(
    (what) =>
      new Problem(
        'ADDRESS_IN_DHCP_RANGE',
        `${what}, which DHCP of the network ${name} gives away`,
        {
          because: `on ${host} its range is ${start} to ${end}`,
          now: untouched,
          hint: 'move CONTROL_PLANE_IP_OFFSET, WORKER_IP_OFFSET or CLUSTER_VIP out of it, or shrink the range (virsh net-edit)',
        },
      ),
  )
}
