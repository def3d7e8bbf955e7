/** Runs the stages of the virtual machines: observe, check, plan, apply. */
import {
  applyAll,
  keepClusterId,
  type Cluster,
  type Host,
  type ScriptContext,
} from '@talosmith/core'
import { applyVmChange } from './apply.ts'
import { checkHosts, rememberHosts } from './made-on.ts'
import { refuse } from './check.ts'
import { observeHost, type ObservedHost } from './observe.ts'
import { strangerProblems } from './ownership.ts'
import { clusterDomains, domainOf, withPlaces } from './place.ts'
import { planDropChannels } from './plan-create.ts'
import { planMachineStart, planMachineStop } from './plan-power.ts'
import type { VmChange } from './vm-change.ts'

/** What these flows use of a script's context. */
export type FlowContext = Pick<
  ScriptContext<Record<never, never>>,
  'cluster' | 'hosts' | 'log' | 'dryRun' | 'showPlan' | 'confirm'
>

/** Names the step that a change belongs to. */
type Step = (change: VmChange, hosts: readonly ObservedHost[]) => string

type Planner<T> = (cluster: Cluster, hosts: readonly ObservedHost[]) => T

interface FlowOptions {
  readonly plan: Planner<VmChange[]>
  /** The message when the plan is empty. */
  readonly nothing: string
  /** Throws or logs problems before anything is changed. */
  readonly check?: (hosts: readonly ObservedHost[], cluster: Cluster) => void
  /** The changes lose data: CONFIRM must name the cluster. */
  readonly needsConfirm?: boolean
  /** Changes of one step run in parallel, the steps in sequence. By default all changes run in parallel. */
  readonly step?: Step
  readonly force?: boolean
}

/** Observes all hosts in parallel. */
export async function observeHosts(
  cluster: Cluster,
  hosts: readonly Host[],
): Promise<ObservedHost[]> {
  return Promise.all(hosts.map((host, index) => observeHost(host, cluster, index)))
}

/** Observe, check, plan, apply: every script that changes machines does this, each with its own plan. */
export async function runFlow(
  { cluster: described, hosts, log, dryRun, showPlan, confirm }: FlowContext,
  { plan, nothing, check, needsConfirm = false, step = () => '', force = false }: FlowOptions,
): Promise<0 | 1 | 2 | 64 | 78> {
  await checkHosts(described)
  const opened = await hosts()
  const observed = await observeHosts(described, opened)
  const cluster = withPlaces(described, observed)
  refuse(strangerProblems(cluster, observed))
  check?.(observed, cluster)
  const changes = plan(cluster, observed)
  if (dryRun) return showPlan(changes)
  if (changes.length === 0) {
    log.already(nothing)
    return 0
  }
  if (needsConfirm) confirm(changes)
  const hasMachines = observed.some((host) => clusterDomains(cluster, host).length > 0)
  // Nothing gets an ID where only files of machines that are gone are removed.
  const clusterId = !needsConfirm || hasMachines ? await claim(cluster, observed) : undefined
  for (const together of inSteps(changes, (change) => step(change, observed)))
    await applyAll(
      together,
      (change) =>
        applyVmChange(change, {
          ...{ cluster, clusterId, log, force },
          hosts: opened,
          observedHosts: observed,
        }),
      { log, parallelBy: ({ host, target }) => `${host} ${target}`, atOnce: 8 },
    )
  return 0
}

/** Records the hosts and the cluster's ID, its machines' or a new one, before the first change; returns the ID. */
async function claim(cluster: Cluster, observed: readonly ObservedHost[]): Promise<string> {
  const machines = observed.flatMap((host) => clusterDomains(cluster, host))
  const [taken] = machines.flatMap(({ clusterId }) => clusterId ?? [])
  const clusterId = await keepClusterId(cluster, taken)
  await rememberHosts(cluster)
  return clusterId
}

/** Starts the machines that are not running, control planes first; does not wait for Talos in them. */
export async function startMachines(context: FlowContext): Promise<0 | 1 | 2 | 64 | 78> {
  return runFlow(context, { plan: planMachineStart, nothing: 'no machine to start', step: byRole })
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

/** Removes unused guest-agent channels; call it only when no machine has the agent's extension installed. */
export async function dropChannels(context: FlowContext): Promise<0 | 1 | 2 | 64 | 78> {
  return runFlow(context, {
    plan: planDropChannels,
    nothing: 'no guest-agent channel to remove',
  })
}

/** Groups consecutive changes of the same step. */
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
export function byRole({ host, target }: VmChange, hosts: readonly ObservedHost[]): string {
  const on = hosts.find(({ index }) => index === host)
  return (on && domainOf({ name: target }, on)?.machine.role) ?? ''
}
