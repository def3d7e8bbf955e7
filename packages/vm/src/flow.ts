import { applyAll, type Cluster, type Host, type ScriptContext } from '@talosmith/core'
import { applyVmChange } from './apply.ts'
import { checkHosts, rememberHosts } from './made-on.ts'
import { observeHost, type ObservedHost } from './observe.ts'
import { domainOf } from './place.ts'
import { planDropChannels, planMachineStart, planMachineStop, type VmChange } from './plan.ts'

/** What the flows of this part take from a script. */
export type FlowContext = Pick<
  ScriptContext<Record<never, never>>,
  'cluster' | 'hosts' | 'log' | 'dryRun' | 'showPlan' | 'confirm'
>

/** Names the step that a change is part of. */
type Step = (change: VmChange, seen: readonly ObservedHost[]) => string

type Planner<T> = (cluster: Cluster, seen: readonly ObservedHost[]) => T

interface FlowOptions {
  readonly plan: Planner<VmChange[]>
  /** Said when the plan is empty. */
  readonly nothing: string
  /** Throws, or says, what stands in the way, before anything is changed. */
  readonly check?: (seen: readonly ObservedHost[]) => void
  /** Data is lost: CONFIRM must name the cluster. */
  readonly needsConfirm?: boolean
  /** Changes of one step run side by side, steps one after the other. Without it: all side by side. */
  readonly step?: Step
  readonly force?: boolean
}

/** Looks at all hosts side by side. */
export async function observeHosts(
  cluster: Cluster,
  hosts: readonly Host[],
): Promise<ObservedHost[]> {
  return Promise.all(hosts.map((host, index) => observeHost(host, cluster, index)))
}

/** Observe, check, plan, apply: what every changing script of this part does, with another plan. */
export async function runFlow(
  { cluster, hosts, log, dryRun, showPlan, confirm }: FlowContext,
  { plan, nothing, check, needsConfirm = false, step = () => '', force = false }: FlowOptions,
): Promise<0 | 1 | 2 | 64 | 78> {
  await checkHosts(cluster)
  const opened = await hosts()
  const seen = await observeHosts(cluster, opened)
  check?.(seen)
  const changes = plan(cluster, seen)
  if (dryRun) return showPlan(changes)
  if (changes.length === 0) log.already(nothing)
  else if (needsConfirm) confirm(changes)
  else await rememberHosts(cluster)
  for (const together of inSteps(changes, (change) => step(change, seen)))
    await applyAll(
      together,
      (change) => applyVmChange(change, { cluster, hosts: opened, seen, log, force }),
      { log, parallelBy: ({ host, target }) => `${host} ${target}`, atOnce: 8 },
    )
  return 0
}

/** Starts the machines that don't run, control planes first; ends when they run, whatever is in them. */
export async function startMachines(context: FlowContext): Promise<0 | 1 | 2 | 64 | 78> {
  return runFlow(context, { plan: planMachineStart, nothing: 'every machine runs', step: byRole })
}

/** Shuts the machines down, workers first; `force` cuts the power of those that do not shut down in time. */
export async function stopMachines(
  context: FlowContext,
  { force }: { readonly force: boolean },
): Promise<0 | 1 | 2 | 64 | 78> {
  return runFlow(context, {
    plan: planMachineStop,
    nothing: 'no machine runs',
    step: byRole,
    force,
  })
}

/** Takes guest-agent channels away that no machine needs any more; only for when Talos has no agent for certain. */
export async function dropChannels(context: FlowContext): Promise<0 | 1 | 2 | 64 | 78> {
  return runFlow(context, {
    plan: planDropChannels,
    nothing: 'no guest-agent channel is left over',
  })
}

/** Consecutive changes of the same step, together. */
export function inSteps(
  changes: readonly VmChange[],
  step: (change: VmChange) => string,
): VmChange[][] {
  const steps: VmChange[][] = []
  for (const change of changes) {
    const [first] = steps.at(-1) ?? []
    if (first !== undefined && step(first) === step(change)) steps.at(-1)?.push(change)
    else steps.push([change])
  }
  return steps
}

/** Machines of one role start or stop together. */
export function byRole({ host, target }: VmChange, seen: readonly ObservedHost[]): string {
  const on = seen.find(({ index }) => index === host)
  return (on && domainOf({ name: target }, on)?.machine.role) ?? ''
}
