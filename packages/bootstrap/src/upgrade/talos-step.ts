import { reasonOf, type Node } from '@talosmith/core'
import { leaderOf } from './etcd-facts.ts'
import { warmInstaller } from './factory.ts'
import { observeMembers } from './observe-gate.ts'
import { observeUpgrade, type ObservedMachine } from './observe-upgrade.ts'
import { nextTurn } from './order.ts'
import { passGateCommand } from './pass-gate.ts'
import { installerOf, machinesOf, targetOf, unfinishedOf } from './plan-upgrade.ts'
import { inStep, upgradeMachine } from './upgrade-machine.ts'
import type { UpgradeContext } from './upgrade-context.ts'
import type { PathStep } from './upgrade-path.ts'
import { bringConfig } from './upgraded-config.ts'

/** Takes every machine that is behind through one version; the first that fails ends it, the rest untouched. */
export async function takeTalosStep(context: UpgradeContext, step: PathStep): Promise<void> {
  const { cluster, log } = context
  await warmInstaller(cluster, step.to, log)
  // Looked at anew: the step before has changed what runs.
  const { machines: all } = await observeUpgrade(context)
  const machines = machinesOf(cluster, step, all)
  await finishLeftovers(
    context,
    all.filter((machine) => !machines.includes(machine)),
  )
  const left = new Set(machines.map(({ node }) => node.name))
  const unfinished = unfinishedOf(machines)
  const done: string[] = []
  while (left.size > 0) {
    const leader = leaderOf(await observeMembers(context))
    const turn = nextTurn(cluster, left, { leader, unfinished })
    const names = turn.map(({ name }) => name)
    if (done.length > 0) await passGateCommand(context, names.join(', '))
    const results = await Promise.allSettled(
      machines
        .filter(({ node }) => turn.includes(node))
        .map((machine) => takeMachine(context, machine, turn, step.to)),
    )
    names.forEach((name) => left.delete(name))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) {
      tellRest(context, done, [...left], reasonOf(failed.reason))
      throw failed.reason
    }
    done.push(...names)
  }
}

/** Proves and uncordons machines that have nothing to install, but that a run before left half-way. */
export async function finishLeftovers(
  context: UpgradeContext,
  machines: readonly ObservedMachine[],
): Promise<void> {
  for (const { node, facts, kubelet, unfinished } of machines) {
    if (!unfinished) continue
    const asIs = { version: facts.talosVersion, schematic: facts.schematic, image: '' }
    await upgradeMachine(context, node, asIs, kubelet, [node])
  }
}

async function takeMachine(
  context: UpgradeContext,
  { node, kubelet }: ObservedMachine,
  turn: readonly Node[],
  version: string,
): Promise<void> {
  const { cluster, log } = context
  const target = { ...targetOf(cluster, version), image: installerOf(cluster, version) }
  await upgradeMachine(context, node, target, kubelet, turn)
  if (version === cluster.settings.TALOS_VERSION)
    await inStep(log, `Bring ${node.name} its config for Talos ${version}`, () =>
      bringConfig(context, node),
    )
}

function tellRest(
  { log }: UpgradeContext,
  done: readonly string[],
  untouched: readonly string[],
  reason: string | undefined,
): void {
  const list = (names: readonly string[]): string => names.join(', ') || 'none'
  log.event('upgrade-stopped', { done, untouched, reason })
  log.info(`   upgraded: ${list(done)}; not touched: ${list(untouched)}`)
}
