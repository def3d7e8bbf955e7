/** Storage as the first part of a cluster that is destroyed. */
import { applyAll, codes, Problem, type ScriptContext } from '@talosmith/core'
import { applyChange } from './apply.ts'
import { openStorage, type FlowContext } from './flow.ts'
import { openHelm } from './helm.ts'
import { hasAccess, observeStorage } from './observe.ts'
import { planUninstall, type StorageChange } from './plan.ts'

/** What of storage goes before its cluster does. */
export interface StorageRemoval {
  readonly changes: readonly StorageChange[]
  /** Why the cluster can't be asked; what is in it then goes with its machines. */
  readonly fault?: string
}

/** What may keep storage from being removed one by one, and need not keep the cluster from going. */
const passedOver: readonly string[] = [
  codes.kubernetesUnreachable,
  codes.kubernetesRefused,
  codes.notStarted,
  'HELM_FAILED',
  'WAIT_TIMED_OUT',
  'TOOL_MISSING',
  'TOOL_UNFIT',
]

/** Looks at what there is to remove of storage; a cluster that can't be asked is no hindrance. */
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
    return { changes: [], fault: faultOf(error) }
  }
}

/**
 * Takes storage away as the first part of a cluster that goes whole: claims are no hindrance, and what
 * can't be removed is left to go with the machines. The data on the NFS server stays.
 */
export async function destroyStorage(
  context: FlowContext & Pick<ScriptContext<Record<never, never>>, 'confirm'>,
): Promise<0 | 1 | 2 | 64 | 78> {
  const { cluster, log, dryRun, confirm, showPlan } = context
  const { changes, fault } = await observeRemoval(context)
  if (dryRun) return showPlan(changes)
  confirm(changes)
  if (changes.length > 0) {
    const kubernetes = await openStorage(context)
    const helm = context.helm ?? openHelm(cluster)
    await applyAll(changes, (one) => applyChange(one, { cluster, kubernetes, helm, log }), {
      log,
    }).catch((error: unknown) => log.warn(leftToTheMachines(faultOf(error))))
  } else if (fault === undefined) log.already('nothing to destroy: no storage is there')
  else log.warn(leftToTheMachines(fault))
  return 0
}

/** Says what becomes of storage that can't be removed one by one. */
export function leftToTheMachines(fault: string): string {
  return `${fault}: what is in the cluster goes with its machines; the data on the NFS server stays`
}

function faultOf(error: unknown): string {
  if (!(error instanceof Problem) || !passedOver.includes(error.code)) throw error
  return error.message
}
