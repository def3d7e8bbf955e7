/** Kubernetes as cluster:status shows it. */
import type { Answer, Cluster } from '@talosmith/core'
import { type NodeObject, openKubernetes } from '@talosmith/clients/kubernetes'
import { answer } from '../health/observe-health.ts'

/** The nodes of Kubernetes, and whether they were read at the endpoint. */
export interface KubernetesStatus {
  readonly endpoint: Answer<unknown>
  readonly nodes: Answer<readonly NodeObject[]>
}

const requestMs = 3000

/** Lists the Kubernetes nodes in one request: at the endpoint, or at a control plane when the endpoint does not answer. */
export async function observeKubernetesNodes({
  controlPlanes,
  ...cluster
}: Cluster): Promise<KubernetesStatus> {
  const opened = await answer(() => openKubernetes({ controlPlanes, ...cluster }))
  if (!opened.ok) return { endpoint: opened, nodes: opened }
  const list = async (server?: string): Promise<readonly NodeObject[]> => {
    const options = { timeoutMs: requestMs, ...(server === undefined ? {} : { server }) }
    return opened.value.list<NodeObject>('/api/v1/nodes', options)
  }
  const endpoint = await answer(() => list())
  if (endpoint.ok) return { endpoint, nodes: endpoint }
  const others = controlPlanes.map(({ address }) => list(`https://${address}:6443`))
  const nodes = await answer(() => Promise.any(others))
  return { endpoint, nodes: nodes.ok ? nodes : endpoint }
}
