/** The removal of storage as the first stage of cluster:destroy. */
import { applyAll, codes, Problem, type ScriptContext } from '@talosmith/core'
import { applyStorageChange } from './apply.ts'
import { openStorage, type FlowContext } from './flow.ts'
import { openHelm } from './helm.ts'
import { hasAccess, observeStorage } from './observe.ts'
import { planUninstall, type StorageChange } from './plan.ts'

/** What is removed of storage before its cluster is destroyed. */
export interface StorageRemoval {
  readonly changes: readonly StorageChange[]
  /** Why the cluster could not be observed; its storage is then deleted with its machines. */
  readonly unobserved?: string
}

/** Errors that prevent the removal of storage objects, and do not prevent the destruction of the cluster. */
const tolerated: readonly string[] = [
  codes.apiNotOurs,
  codes.kubernetesUnreachable,
  codes.kubernetesRefused,
  codes.notStarted,
  'HELM_FAILED',
  'WAIT_TIMED_OUT',
  'TOOL_MISSING',
  'TOOL_UNFIT',
]

/** Observes which storage objects are to be removed; an unreachable cluster is no error. */
export async function observeRemoval(
  context: Pick<FlowContext, 'cluster' | 'kubernetes'>,
): Promise<StorageRemoval> {
  if (!(await hasAccess(context.cluster))) return { changes: [] }
  try {
    const kubernetes = await openStorage(context)
    // One request with a short limit: against a dead API every other one tries for longer.
    await kubernetes.read('/version', { timeoutMs: 4000 })
    return { changes: planUninstall(await observeStorage(kubernetes)) }
  } catch (error) {
    return { changes: [], unobserved: toleratedReason(error) }
  }
}

/**
 * Removes storage as the first stage of cluster:destroy: open claims do not prevent it, and what cannot be
 * removed is deleted with the machines. The data on the NFS server stays.
 */
export async function destroyStorage(
  context: FlowContext & Pick<ScriptContext<Record<never, never>>, 'confirm'>,
): Promise<0 | 1 | 2 | 64 | 78> {
  const { cluster, log, dryRun, confirm, showPlan } = context
  const { changes, unobserved } = await observeRemoval(context)
  if (dryRun) return showPlan(changes)
  confirm(changes)
  if (changes.length > 0) {
    const kubernetes = await openStorage(context)
    const helm = context.helm ?? openHelm(cluster)
    await applyAll(changes, (one) => applyStorageChange(one, { cluster, kubernetes, helm, log }), {
      log,
    }).catch((error: unknown) => log.warn(leftToTheMachines(toleratedReason(error))))
  } else if (unobserved === undefined) log.already('nothing to destroy: no storage is installed')
  else log.warn(leftToTheMachines(unobserved))
  return 0
}

/** The warning about storage that could not be removed from the cluster. */
export function leftToTheMachines(reason: string): string {
  return `${reason}: storage in the cluster is deleted with its machines; the data on the NFS server stays`
}

function toleratedReason(error: unknown): string {
  if (!(error instanceof Problem) || !tolerated.includes(error.code)) throw error
  return error.message
}
