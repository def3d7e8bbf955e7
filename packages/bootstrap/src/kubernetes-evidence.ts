import type { Cluster } from '@talosmith/core'
import type { Answer, KubernetesNode } from './health.ts'
import { openKubernetes } from './kubernetes.ts'
import { answer } from './observe-health.ts'
import { listOf, throughNodes } from './upgrade/through-nodes.ts'

/** A pod as far as it tells what is wrong with it. */
export interface PodEvidence {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly spec: { readonly nodeName?: string }
  readonly status?: {
    readonly phase?: string
    readonly containerStatuses?: readonly {
      readonly image: string
      readonly state?: {
        readonly waiting?: { readonly reason?: string; readonly message?: string }
      }
    }[]
  }
}

/** What Kubernetes says, at whichever control plane answers. */
export interface KubernetesFindings {
  /** Whether each API server is ready, by machine name. */
  readonly apiServers: ReadonlyMap<string, Answer<unknown>>
  readonly nodes: Answer<readonly KubernetesNode[]>
  readonly pods: Answer<readonly PodEvidence[]>
}

const readyMs = 4000

/** Asks every API server whether it is ready, and the first that answers for nodes and pods. */
export async function observeKubernetesEvidence(cluster: Cluster): Promise<KubernetesFindings> {
  const opened = await answer(() => openKubernetes(cluster))
  if (!opened.ok) return { apiServers: new Map(), nodes: opened, pods: opened }
  const ready = await Promise.all(
    cluster.controlPlanes.map(async ({ name, address }) => {
      const options = { server: `https://${address}:6443`, timeoutMs: readyMs }
      return [name, await answer(() => opened.value.get('/readyz', options))] as const
    }),
  )
  const alive = cluster.controlPlanes.filter((_, index) => ready[index]?.[1].ok)
  const none = { ok: false, reason: 'no API server is ready' } as const
  const kubernetes = throughNodes({ controlPlanes: alive }, opened.value)
  const list = <T>(path: string): Promise<Answer<readonly T[]>> =>
    alive.length === 0 ? Promise.resolve(none) : answer(() => listOf<T>(kubernetes, path))
  const [nodes, pods] = await Promise.all([
    list<KubernetesNode>('/api/v1/nodes'),
    list<PodEvidence>('/api/v1/pods'),
  ])
  return { apiServers: new Map(ready), nodes, pods }
}

/** The body of a GET, from whichever control plane answers. Throws with the reason when none does. */
export async function readKubernetes(cluster: Cluster, path: string): Promise<string> {
  return throughNodes(cluster, await openKubernetes(cluster)).get(path)
}
