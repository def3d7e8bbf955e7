/** The nodes of a cluster on which storage can be tested. */
import type { Cluster } from '@talosmith/core'
import {
  isNodeReady,
  listPath,
  nodeOf,
  type Kubernetes,
  type NodeObject,
} from '@talosmith/clients/kubernetes'

/** The state of a node that matters to storage tests. */
export interface StorageNode {
  readonly name: string
  readonly isReady: boolean
  /** Whether ordinary workloads may be put there. */
  readonly isSchedulable: boolean
}

/**
 * The nodes of the machines in the settings. Others may be listed: a removed machine is Ready for a while after
 * a restart of the API server, and a test there would never start.
 */
export async function observeNodes(
  cluster: Pick<Cluster, 'nodes'>,
  kubernetes: Kubernetes,
): Promise<StorageNode[]> {
  const nodes = await kubernetes.list<NodeObject>(listPath('Node'))
  const ours = cluster.nodes.flatMap((machine) => nodeOf(machine, nodes) ?? [])
  return ours.map((node) => {
    const { metadata, spec } = node
    const isReady = isNodeReady(node)
    const isTainted = spec?.taints?.some(({ effect }) => effect !== 'PreferNoSchedule')
    return {
      name: metadata.name,
      isReady,
      isSchedulable: isReady && spec?.unschedulable !== true && isTainted !== true,
    }
  })
}
