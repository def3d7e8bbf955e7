/** Finds the KVM host that a machine is on. */
import type { Node } from '../nodes.ts'
import type { Host } from './host.ts'
import { virsh } from './virsh.ts'

/**
 * The host that has a machine: the assigned one if it has it, or no other has; it may be on another one, because a host
 * was added to LIBVIRT_URI since. A host that does not answer counts as one without it.
 */
export async function machineHost(
  hosts: readonly Host[],
  { name, host: assigned }: Pick<Node, 'name' | 'host'>,
): Promise<Host | undefined> {
  const first = hosts[assigned]
  if (hosts.length < 2) return first
  const has = (host: Host): Promise<boolean> =>
    virsh(host, 'domuuid', name).then(
      () => true,
      () => false,
    )
  // Nearly always there: the others need not answer for each look at a console.
  if (first !== undefined && (await has(first))) return first
  const found = await Promise.all(hosts.map(async (host) => host !== first && (await has(host))))
  return hosts[found.indexOf(true)] ?? first
}
