/** What the tests of upgrades share: the cluster of three control planes, and queries of it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { access, kubernetesNodes, labCluster, threeControlPlanes } from './support.ts'

export const cluster = await labCluster(threeControlPlanes)

/** The versions that each node reports: Talos and Kubernetes. */
export async function nodeVersions(): Promise<string[]> {
  const nodes = await kubernetesNodes(cluster)
  return nodes.map(
    ({ status: { nodeInfo } }) =>
      `${/v[\d.]+/.exec(nodeInfo.osImage)?.[0]} ${nodeInfo.kubeletVersion}`,
  )
}

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

/** The restarted machines, in order, from the run records. */
export function restarts(since: number): string[] {
  const folder = join(cluster.generated, 'runs')
  return readdirSync(folder)
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line) as { at: string; event: string; text?: string })
    .filter(({ at, event }) => event === 'start' && Date.parse(at) >= since)
    .flatMap(({ text }) => /^Restart (\S+)$/.exec(text ?? '')?.[1] ?? [])
}
