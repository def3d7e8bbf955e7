/** Drains nodes: evicts their pods, and finds those that a PodDisruptionBudget never allows to be evicted. */
import { Problem, reasonOf, waitFor, type Node } from '@talosmith/core'
import {
  ApiRefusal,
  selects,
  statusOf,
  type BudgetObject,
  type PodObject,
} from '@talosmith/clients/kubernetes'
import type { UpgradeContext } from './context.ts'

const drainMs = 600_000

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

/** A pod that can never be evicted because of its PodDisruptionBudget. */
export interface Blocked {
  readonly pod: string
  readonly budget: string
  readonly why: string
}

/** The pods that can never be evicted: their budget requires all replicas, or several budgets select them. */
export function findBlocked(
  pods: readonly PodObject[],
  budgets: readonly BudgetObject[],
): Blocked[] {
  return podsToMove(pods).flatMap(({ metadata, status: { phase } = {} }) => {
    // The eviction API does not check budgets for these.
    if (phase === 'Pending' || metadata.deletionTimestamp !== undefined) return []
    const pod = `${metadata.namespace}/${metadata.name}`
    const own = budgets.filter(
      ({ metadata: { namespace }, spec }) =>
        namespace === metadata.namespace && selects(spec?.selector, metadata.labels),
    )
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

/** Throws DRAIN_IMPOSSIBLE, before any change, when a pod on one of the machines can never be evicted. */
export async function refuseBlocked(
  { kubernetes, cluster }: UpgradeContext,
  machines: readonly Node[],
): Promise<void> {
  // A single machine is not drained: no other node could run its pods.
  if (cluster.nodes.length === 1 || machines.length === 0) return
  const [pods, budgets] = await Promise.all([
    kubernetes.list<PodObject>('/api/v1/pods'),
    kubernetes.list<BudgetObject>('/apis/policy/v1/poddisruptionbudgets'),
  ])
  const names = new Set(machines.map(({ name }) => name))
  const blocked = findBlocked(
    pods.filter(({ spec }) => names.has(spec?.nodeName ?? '')),
    budgets,
  )
  if (blocked.length === 0) return
  throw new Problem(
    'DRAIN_IMPOSSIBLE',
    'PodDisruptionBudgets block the drain of machines that have to restart',
    {
      because: blocked
        .map(({ pod, budget, why }) => `${pod}: PodDisruptionBudget ${budget}: ${why}`)
        .join('\n'),
      now: 'nothing was changed',
      hint: 'add a replica, or delete the PodDisruptionBudget during the upgrade, then run the same command again',
    },
  )
}

/** Evicts a machine's pods and waits until they are gone; the reason names the remaining pods. */
export async function evictPods(
  { kubernetes, log }: UpgradeContext,
  { name }: Node,
  { withinMs = drainMs } = {},
): Promise<void> {
  await waitFor(
    `the pods on ${name} to be evicted`,
    async () => {
      const path = `/api/v1/pods?fieldSelector=spec.nodeName%3D${name}`
      const left = podsToMove(await kubernetes.list<PodObject>(path))
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
      everyMs: 1000,
      code: 'DRAIN_INCOMPLETE',
      hint: 'delete the listed pods (kubectl delete pod), then run the same command again',
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
