import type { ExitCode } from '@talosmith/core'
import { findProblems, refuse } from './check.ts'
import { runFlow, type Context } from './flow.ts'
import { planCreate, planDestroy } from './plan.ts'

/**
 * Takes some machines away with their disks and makes them again, empty; needs CONFIRM. A run that was
 * stopped in between finishes with the machines it finds.
 */
export async function recreateMachines(
  context: Context,
  names: ReadonlySet<string>,
): Promise<ExitCode> {
  const nothing = 'none of them is there'
  const gone = await runFlow(context, {
    plan: (cluster, seen) => planDestroy(cluster, seen).filter(({ target }) => names.has(target)),
    nothing,
    needsConfirm: true,
    check: (seen) => refuse(findProblems(context.cluster, seen)),
  })
  if (context.dryRun) return gone
  return runFlow(context, {
    plan: (cluster, seen) => planCreate(cluster, seen).filter(({ target }) => names.has(target)),
    nothing,
  })
}
