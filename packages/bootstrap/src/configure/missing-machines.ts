/** Machines that no host has: to wait for their answer is pointless. */
import {
  codes,
  commandFor,
  Problem,
  virsh,
  type Cluster,
  type Host,
  type Node,
} from '@talosmith/core'

/** Those of `nodes` that no host has; none where a host cannot be queried: hosts are not needed to configure machines. */
export async function findMissing(
  nodes: readonly Node[],
  hosts: (() => Promise<readonly Host[]>) | undefined,
): Promise<Node[]> {
  if (hosts === undefined || nodes.length === 0) return []
  const lists = await hosts()
    .then((all) => Promise.all(all.map((host) => virsh(host, 'list', '--all', '--name'))))
    .catch(() => undefined)
  if (lists === undefined) return []
  const names = new Set(lists.flatMap((list) => list.split('\n').map((name) => name.trim())))
  return nodes.filter(({ name }) => !names.has(name))
}

/** Throws MACHINE_MISSING for machines that no host has. */
export function refuseMissing(cluster: Cluster, missing: readonly Node[]): void {
  if (missing.length === 0) return
  const names = missing.map(({ name }) => name).join(', ')
  throw new Problem(
    codes.machineMissing,
    missing.length === 1
      ? `the virtual machine ${names} does not exist`
      : `the virtual machines ${names} do not exist`,
    {
      because: `no host in LIBVIRT_URI has a domain of ${missing.length === 1 ? 'that name' : 'these names'} (virsh list --all), and nothing answers at ${missing.map(({ address }) => address).join(', ')}`,
      now: 'nothing was changed',
      hint: `create them, and all that comes after: ${commandFor(cluster, 'cluster:up')}\nonly create them: ${commandFor(cluster, 'vm:create')}; if they run on another host, add it to LIBVIRT_URI`,
    },
  )
}
