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
  const all = await Promise.all(
    hosts.map((host) =>
      virsh(host, 'domuuid', name).then(
        () => host,
        () => undefined,
      ),
    ),
  )
  return all[assigned] ?? all.find((host) => host !== undefined) ?? first
}
