/** The nodes of a cluster as storage sees them. */
import type { Cluster } from '@talosmith/core'
import { listPath, type Kubernetes, type NodeObject } from '@talosmith/clients/kubernetes'

/** A node as storage sees it. */
export interface ObservedNode {
  readonly name: string
  readonly isReady: boolean
  /** Whether ordinary workloads may be put there. */
  readonly isSchedulable: boolean
}

/**
 * The nodes of the machines in the settings. Others may be listed: one that was switched off for good counts
 * as Ready for a while after a restart of the API, and a test there would never begin.
 */
export async function observeNodes(
  cluster: Pick<Cluster, 'nodes'>,
  kubernetes: Kubernetes,
): Promise<ObservedNode[]> {
  const nodes = await kubernetes.list<NodeObject>(listPath('Node'))
  const ours = nodes.filter(({ metadata }) =>
    cluster.nodes.some(({ name }) => name === metadata.name),
  )
  return ours.map(({ metadata, spec, status }) => {
    const isReady = status?.conditions?.some(
      (condition) => condition.type === 'Ready' && condition.status === 'True',
    )
    const isTainted = spec?.taints?.some(({ effect }) => effect !== 'PreferNoSchedule')
    return {
      name: metadata.name,
      isReady: isReady === true,
      isSchedulable: isReady === true && spec?.unschedulable !== true && isTainted !== true,
    }
  })
}
