/** A Kubernetes Node, as far as health looks at it. */
export interface KubernetesNode {
  readonly metadata: { readonly name: string }
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly message?: string
    }[]
    readonly addresses?: readonly { readonly type: string; readonly address: string }[]
    readonly nodeInfo?: { readonly kubeletVersion: string }
  }
}

/** A Kubernetes Node, as far as an upgrade looks at it. */
export interface NodeObject extends KubernetesNode {
  readonly metadata: {
    readonly name: string
    readonly annotations?: Readonly<Record<string, string>>
    readonly resourceVersion?: string
  }
  readonly spec?: { readonly unschedulable?: boolean }
}

/** A Pod, as far as an upgrade looks at it. */
export interface PodObject {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    readonly ownerReferences?: readonly { readonly kind: string; readonly controller?: boolean }[]
    readonly deletionTimestamp?: string
  }
  readonly spec: {
    readonly nodeName?: string
    readonly containers: readonly { readonly image: string }[]
  }
  readonly status?: {
    readonly phase?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
}

/** A PodDisruptionBudget: how many pods of a kind must stay. */
export interface BudgetObject {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly spec: { readonly selector?: LabelSelector }
  readonly status?: {
    readonly disruptionsAllowed?: number
    readonly desiredHealthy?: number
    readonly expectedPods?: number
  }
}

/** Which labels something is about; https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly {
    readonly key: string
    readonly operator: string
    readonly values?: readonly string[]
  }[]
}

/** Why a node is not Ready; undefined: it is. */
export function nodeFault(node: NodeObject): string | undefined {
  const ready = readinessOf(node)
  if (ready?.status === 'True') return undefined
  return `is not Ready in Kubernetes: ${ready?.message ?? 'it has not said why'}`
}

/** Whether labels are those that a selector asks for; an empty selector takes all, none takes nothing. */
export function selects(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>> = {},
): boolean {
  if (selector === undefined) return false
  const { matchLabels = {}, matchExpressions = [] } = selector
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key]
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value)
        case 'NotIn':
          return value === undefined || !values.includes(value)
        case 'Exists':
          return value !== undefined
        case 'DoesNotExist':
          return value === undefined
        default:
          return false
      }
    })
  )
}

/** What a node's kubelet, or Kubernetes in its place, says of its being Ready. */
export function readinessOf({ status }: KubernetesNode) {
  return status?.conditions?.find(({ type }) => type === 'Ready')
}
