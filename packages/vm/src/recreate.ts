/** Recreates machines: destroys them with their disks, then creates them again. */
import type { ExitCode } from '@talosmith/core'
import { findProblems, refuse } from './check.ts'
import { runFlow, type FlowContext } from './flow.ts'
import type { ObservedHost } from './observe.ts'
import { domainOf } from './place.ts'
import { planCreate, planDestroy } from './plan.ts'

/**
 * Recreates the machines of `names` with empty disks, and creates those that no host has; needs CONFIRM.
 * After a run that was stopped in between, the next one continues with the machines that still exist.
 */
export async function recreateMachines(
  context: FlowContext,
  names: ReadonlySet<string>,
): Promise<ExitCode> {
  const nothing = 'none of the machines exists'
  const exitCode = await runFlow(context, {
    plan: (cluster, observed) =>
      planDestroy(cluster, observed).filter(({ target }) => names.has(target)),
    nothing,
    needsConfirm: true,
    check: (observed) => refuse(findProblems(context.cluster, observed, { recreated: names })),
  })
  if (context.dryRun) return exitCode
  return runFlow(context, {
    // Machines that no host has are created as well, for example the workers of a destroyed cluster.
    plan: (cluster, observed) =>
      planCreate(cluster, observed).filter(
        ({ target }) => names.has(target) || isAbsent(target, observed),
      ),
    nothing,
  })
}

function isAbsent(name: string, hosts: readonly ObservedHost[]): boolean {
  return hosts.every((host) => domainOf({ name }, host) === undefined)
}
