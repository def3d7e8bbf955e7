/** What the tests of upgrades share: the cluster of three control planes, and queries of it. */
import { access, labCluster, threeControlPlanes } from '../e2e/support.ts'

export const cluster = await labCluster(threeControlPlanes)

export const four = (one: string): string[] => [one, one, one, one]

/** Calls talosctl for one machine, with itself as endpoint. */
export async function talos(node: string, ...args: string[]): Promise<string> {
  const address = cluster.nodes.find(({ name }) => name === node)?.address ?? ''
  return access(cluster, 'talosctl', '-e', address, '-n', address, ...args)
}

/** The name of the etcd leader's control plane. */
export async function leader(): Promise<string> {
  const status = await talos('labha-cp1', 'etcd', 'status')
  const members = await talos('labha-cp1', 'etcd', 'members')
  const ids = [...status.matchAll(/\b[0-9a-f]{16}\b/g)].map(([id]) => id)
  // The member itself comes first, its leader second.
  return new RegExp(`${ids[1]}\\s+(\\S+)`).exec(members)?.[1] ?? ''
}
