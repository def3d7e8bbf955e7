import type { ExitCode } from '@talosmith/core'
import { findProblems, refuse } from './check.ts'
import { runFlow, type FlowContext } from './flow.ts'
import type { ObservedHost } from './observe.ts'
import { domainOf } from './place.ts'
import { planCreate, planDestroy } from './plan.ts'

/**
 * Destroys some machines with their disks and creates them again, empty, and those that no host has; needs CONFIRM. A run that was
 * stopped in between finishes with the machines it finds.
 */
export async function recreateMachines(
  context: FlowContext,
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
    // A destroyed cluster has no workers either, and nothing to wait for in them.
    plan: (cluster, seen) =>
      planCreate(cluster, seen).filter(({ target }) => names.has(target) || isAbsent(target, seen)),
    nothing,
  })
}

function isAbsent(name: string, hosts: readonly ObservedHost[]): boolean {
  return hosts.every((host) => domainOf({ name }, host) === undefined)
}
