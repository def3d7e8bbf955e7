/** Drains nodes: evicts their pods, and finds those that a PodDisruptionBudget may never allow to be evicted. */
import { reasonOf, waitFor, type Node } from '@talosmith/core'
import {
  ApiRefusal,
  nodeOf,
  selects,
  statusOf,
  type BudgetObject,
  type NodeObject,
  type PodObject,
} from '@talosmith/clients/kubernetes'
import type { UpgradeContext } from './context.ts'

/**
 * The pods to evict before a machine restarts. Pods of DaemonSets and static pods stay on their node; a pod
 * without a controller would not be recreated, so it stays and restarts with the machine.
 */
export function podsToMove(pods: readonly PodObject[]): PodObject[] {
  return pods.filter(({ metadata, status }) => {
    const owner = metadata.ownerReferences?.find(({ controller }) => controller === true)
    if (owner === undefined || owner.kind === 'DaemonSet' || owner.kind === 'Node') return false
    return status?.phase !== 'Succeeded' && status?.phase !== 'Failed'
  })
}

/** A pod that cannot be evicted because of its PodDisruptionBudget, until the budget or the number of replicas changes. */
export interface Blocked {
  readonly pod: string
  readonly budget: string
  readonly why: string
}

/** Kinds that Kubernetes itself runs: their controllers never make room in a budget. */
const plainKinds = ['ReplicaSet', 'Deployment', 'StatefulSet', 'ReplicationController', 'Job']

/**
 * Whether an operator looks after a pod or its budget. Operators make room once the node is cordoned: CloudNativePG
 * switches its primary over, Longhorn deletes its instance manager's budget, KubeVirt migrates the machine.
 */
function isOperated(...objects: readonly (PodObject | BudgetObject)[]): boolean {
  return objects.some(({ metadata: { ownerReferences = [] } }) =>
    ownerReferences.some(
      ({ kind = '', controller }) => controller === true && !plainKinds.includes(kind),
    ),
  )
}

/**
 * The pods that can never be evicted, unless a user changes something: their budget requires all replicas, or
 * several budgets select them, and no operator looks after them.
 */
export function findBlocked(
  pods: readonly PodObject[],
  budgets: readonly BudgetObject[],
): Blocked[] {
  return podsToMove(pods).flatMap((object) => {
    const { metadata, status: { phase } = {} } = object
    // The eviction API does not check budgets for these.
    if (phase === 'Pending' || metadata.deletionTimestamp !== undefined) return []
    const pod = `${metadata.namespace}/${metadata.name}`
    const own = budgets.filter(
      ({ metadata: { namespace }, spec }) =>
        namespace === metadata.namespace && selects(spec?.selector, metadata.labels),
    )
    if (isOperated(object, ...own)) return []
    // https://kubernetes.io/docs/tasks/run-application/configure-pdb/: evicting such a pod fails with a 500.
    if (own.length > 1)
      return [
        {
          pod,
          budget: own.map(({ metadata: { name } }) => name).join(', '),
          why: 'a pod that is selected by more than one budget cannot be evicted',
        },
      ]
    return own.flatMap(({ metadata: { name }, status = {} }) => {
      const { desiredHealthy = 0, expectedPods = 0, disruptionsAllowed = 0 } = status
      if (disruptionsAllowed > 0 || expectedPods === 0 || desiredHealthy < expectedPods) return []
      return [
        {
          pod,
          budget: name,
          why: `it requires ${desiredHealthy} of ${expectedPods} pods to stay healthy`,
        },
      ]
    })
  })
}

/** Warns before any change of pods on the machines that can never be evicted unless a user changes something. */
export async function warnOfBlocked(
  { kubernetes, cluster, log }: UpgradeContext,
  machines: readonly Node[],
): Promise<void> {
  // A single machine is not drained: no other node could run its pods.
  if (cluster.nodes.length === 1 || machines.length === 0) return
  const [nodes, pods, budgets] = await Promise.all([
    kubernetes.list<NodeObject>('/api/v1/nodes'),
    kubernetes.list<PodObject>('/api/v1/pods'),
    kubernetes.list<BudgetObject>('/apis/policy/v1/poddisruptionbudgets'),
  ])
  const names = new Set(machines.map((machine) => nameOf(machine, nodes)))
  const blocked = findBlocked(
    pods.filter(({ spec }) => names.has(spec?.nodeName ?? '')),
    budgets,
  )
  for (const { pod, budget, why } of blocked)
    log.warn(
      `${pod} blocks the drain of its machine: PodDisruptionBudget ${budget}: ${why}; add a replica or change the budget before the upgrade reaches it, or it ends with DRAIN_INCOMPLETE`,
    )
}

/** The name under which Kubernetes knows a machine. */
function nameOf(machine: Pick<Node, 'name' | 'address'>, nodes: readonly NodeObject[]): string {
  return nodeOf(machine, nodes)?.metadata.name ?? machine.name
}

/**
 * Evicts a machine's pods and waits until they are gone; the reason names the remaining pods. Operators need time
 * to make room in their budgets: it gives up only when no pod has moved for UPGRADE_DRAIN_TIMEOUT.
 */
export async function evictPods(
  { kubernetes, log, cluster }: UpgradeContext,
  machine: Node,
  { withinMs = cluster.settings.UPGRADE_DRAIN_TIMEOUT * 1000 } = {},
): Promise<void> {
  const { name } = machine
  let fewest = Infinity
  let hasMoved = false
  await waitFor(
    `the pods on ${name} to be evicted`,
    async () => {
      hasMoved = false
      const node = nameOf(machine, await kubernetes.list<NodeObject>('/api/v1/nodes'))
      const path = `/api/v1/pods?fieldSelector=spec.nodeName%3D${node}`
      const left = podsToMove(await kubernetes.list<PodObject>(path))
      const leaving = left.filter(({ metadata }) => metadata.deletionTimestamp !== undefined)
      const open = 2 * left.length - leaving.length
      // Only fewer than ever before: pods that are recreated on this node again and again move nothing.
      hasMoved = open < fewest
      fewest = Math.min(fewest, open)
      if (left.length === 0) return
      const reasons: string[] = []
      for (const { metadata } of left) {
        const pod = `${metadata.namespace}/${metadata.name}`
        if (metadata.deletionTimestamp !== undefined) reasons.push(`${pod} is terminating`)
        else reasons.push(`${pod}: ${await evict(metadata)}`)
      }
      const more = reasons.length > 3 ? ` and ${reasons.length - 3} more` : ''
      throw new Error(`${reasons.slice(0, 3).join('; ')}${more}`)
    },
    {
      log,
      withinMs,
      hasMoved: () => hasMoved,
      everyMs: 1000,
      code: 'DRAIN_INCOMPLETE',
      hint: 'add a replica, change the PodDisruptionBudget, or delete the listed pods (kubectl delete pod), then run the same command again; if an operator only needs longer, raise UPGRADE_DRAIN_TIMEOUT',
    },
  )

  async function evict({ name, namespace }: PodObject['metadata']): Promise<string> {
    try {
      await kubernetes.evict({ namespace, name })
      return 'eviction requested'
    } catch (error) {
      if (statusOf(error) === 404) return 'deleted'
      const reason = error instanceof ApiRefusal ? error.detail : reasonOf(error)
      return reason ?? 'eviction refused'
    }
  }
}
