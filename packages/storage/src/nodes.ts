import type { KubeObject, Kubernetes } from './kubernetes.ts'

/** A node as storage sees it. */
export interface ObservedNode {
  readonly name: string
  readonly isReady: boolean
  /** Whether ordinary workloads may be put there. */
  readonly isSchedulable: boolean
}

interface NodeObject extends KubeObject {
  readonly spec?: {
    readonly unschedulable?: boolean
    readonly taints?: readonly { readonly effect: string }[]
  }
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
}

/** Every node of the cluster. */
export async function observeNodes(kubernetes: Kubernetes): Promise<ObservedNode[]> {
  const nodes = await kubernetes.get<NodeObject>(['nodes'])
  return nodes.map(({ metadata, spec, status }) => {
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
