/** Upgrades the machines by one version of Talos. */
import { leaderOf, observeEtcdFacts } from '@talosmith/clients/etcd'
import { inStep, Problem, reasonOf, type Node } from '@talosmith/core'
import type { ObservedMachine } from './observe-upgrade.ts'
import { nextTurn } from '../restart/order.ts'
import { passGateCommand } from '../restart/pass-gate.ts'
import { installationOf } from './installation.ts'
import { machinesOf, unfinishedOf } from './plan-upgrade.ts'
import { finishMachine } from './finish-machine.ts'
import { upgradeMachine } from './upgrade-machine.ts'
import { uncordonAfterFailure } from '../restart/uncordon-after-failure.ts'
import type { UpgradeContext } from '../restart/context.ts'
import type { PathStep } from './upgrade-path.ts'
import { updateConfig } from './upgraded-config.ts'

/**
 * Upgrades every older machine to one version, and stops at the first failure, before the remaining machines.
 * `all` is every machine as it is now.
 */
export async function takeTalosStep(
  context: UpgradeContext,
  step: PathStep,
  all: readonly ObservedMachine[],
): Promise<void> {
  const { cluster } = context
  const machines = machinesOf(cluster, step, all)
  await finishLeftovers(
    context,
    all.filter((machine) => !machines.includes(machine)),
  )
  const left = new Set(machines.map(({ node }) => node.name))
  const unfinished = unfinishedOf(machines)
  const done: string[] = []
  // The first machine of each version starts cold: an entry that does not boot shows here, and not years later.
  let isFirst = true
  while (left.size > 0) {
    // The leader matters only while there is a choice.
    const isChoice = cluster.controlPlanes.filter(({ name }) => left.has(name)).length > 1
    const leader = isChoice
      ? leaderOf(
          cluster.controlPlanes,
          await observeEtcdFacts(cluster, context.talosctl, context.secrets),
        )
      : undefined
    const turn = nextTurn(cluster, left, { leader, unfinished })
    const own = machines.filter(({ node }) => turn.includes(node))
    const failures = await takeTurn(context, own, step, isFirst)
    isFirst = false
    for (const { name } of turn) {
      left.delete(name)
      if (!failures.has(name)) done.push(name)
    }
    if (failures.size > 0) throw reportStopped(context, { done, failures, untouched: [...left] })
  }
}

/** Upgrades machines concurrently, and returns the errors by machine name. */
async function takeTurn(
  context: UpgradeContext,
  machines: readonly ObservedMachine[],
  step: PathStep,
  isFirst: boolean,
): Promise<ReadonlyMap<string, unknown>> {
  const turn = machines.map(({ node }) => node)
  // When the command fails, machines that an earlier run cordoned are uncordoned.
  const begun = machines.flatMap((machine) => (machine.begun === undefined ? [] : [machine.node]))
  await uncordonAfterFailure(context, begun, () =>
    passGateCommand(context, turn.map(({ name }) => name).join(', ')),
  )
  const results = await Promise.allSettled(
    machines.map((machine, index) =>
      takeMachine(context, machine, { turn, version: step.to, coldStart: isFirst && index === 0 }),
    ),
  )
  return new Map(
    turn.flatMap(({ name }, index) => {
      const result = results[index]
      return result?.status === 'rejected' ? [[name, result.reason as unknown] as const] : []
    }),
  )
}

/** Verifies and uncordons machines that need no installation, but that an earlier run left unfinished. */
export async function finishLeftovers(
  context: UpgradeContext,
  machines: readonly ObservedMachine[],
): Promise<void> {
  for (const { node, facts, kubelet, begun } of machines) {
    if (begun === undefined) continue
    const asIs = { version: facts.talosVersion, schematic: facts.schematic }
    await finishMachine(context, node, { target: asIs, kubernetes: kubelet, installs: false })
  }
}

async function takeMachine(
  context: UpgradeContext,
  machine: ObservedMachine,
  {
    turn,
    version,
    coldStart,
  }: { readonly turn: readonly Node[]; readonly version: string; readonly coldStart: boolean },
): Promise<void> {
  const { cluster, log } = context
  const { node } = machine
  const { image, ...target } = installationOf(cluster, machine, version)
  if (image === undefined) throw new Error(`no installer image is known for ${node.name}`)
  await upgradeMachine(context, machine, { ...target, image }, turn, { coldStart })
  if (version === cluster.settings.TALOS_VERSION)
    await inStep(log, `Update the machine config of ${node.name} for Talos ${version}`, () =>
      updateConfig(context, node),
    )
}

/** Reports the state of every machine and returns the first error, since only one can be thrown. */
function reportStopped(
  { log }: UpgradeContext,
  rest: {
    readonly done: readonly string[]
    readonly failures: ReadonlyMap<string, unknown>
    readonly untouched: readonly string[]
  },
): unknown {
  const { done, untouched } = rest
  const failures = [...rest.failures]
  const [[, first] = []] = failures
  const failed = failures.map(([name]) => name)
  log.event('upgrade-stopped', { done, failed, untouched, reason: reasonOf(first) })
  for (const [name, error] of failures.slice(1)) log.warn(`${name}: ${describeFailure(error)}`)
  const list = (names: readonly string[]): string => names.join(', ') || 'none'
  log.info(`   upgraded: ${list(done)}; failed: ${list(failed)}; not touched: ${list(untouched)}`)
  return first
}

function describeFailure(error: unknown): string | undefined {
  if (!(error instanceof Problem)) return reasonOf(error)
  return [`${error.code}: ${error.message}`, error.because, error.now]
    .filter((text) => text !== undefined)
    .join('; ')
}
