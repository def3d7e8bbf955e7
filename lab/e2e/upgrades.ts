/** What the chapters with upgrades query: the version of each node, and which machines were restarted. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '@talosmith/core'
import { kubernetesNodes } from './support.ts'

/** The versions that each node reports: Talos and Kubernetes. */
export async function nodeVersions(cluster: Cluster): Promise<string[]> {
  const nodes = await kubernetesNodes(cluster)
  return nodes.map(
    ({ status: { nodeInfo } }) =>
      `${/v[\d.]+/.exec(nodeInfo.osImage)?.[0]} ${nodeInfo.kubeletVersion}`,
  )
}

/** The restarted machines, in order, from the run records; `since` in ms since 1970. */
export function restarts(cluster: Cluster, since: number): string[] {
  const folder = join(cluster.generated, 'runs')
  return readdirSync(folder)
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line) as { at: string; event: string; text?: string })
    .filter(({ at, event }) => event === 'start' && Date.parse(at) >= since)
    .flatMap(({ text }) => /^Restart (\S+)$/.exec(text ?? '')?.[1] ?? [])
}
