/** Upgrades one machine to another version of Talos, safely. */
import { inStep, type Node } from '@talosmith/core'
import {
  isRight,
  readBootId,
  readRunning,
  type NodeFacts,
  type Target,
} from '@talosmith/clients/talos'
import { annotateRestart } from '../restart/cordon.ts'
import { install, installsLive } from '../restart/install.ts'
import { nodeOf, type NodeObject } from '@talosmith/clients/kubernetes'
import { observeGate } from '../restart/observe-gate.ts'
import type { ObservedMachine } from './observe-upgrade.ts'
import { passGate, passGateCommand } from '../restart/pass-gate.ts'
import { BootStuck, refuseRolledBack, restart, waitForReboot } from '../restart/restart.ts'
import { uncordonAfterFailure } from '../restart/uncordon-after-failure.ts'
import { prepareRestart } from '../restart/hand-over.ts'
import { prepareKernelArguments } from './grub-arguments.ts'
import type { UpgradeContext } from '../restart/context.ts'
import { finishMachine } from './finish-machine.ts'
import { readUnlessShuttingDown, waitForRunning } from './wait-for-running.ts'
import { returnToPrevious } from './way-back.ts'

/** What a machine has to run, and the image that installs it. */
export interface MachineTarget extends Target {
  readonly image: string
}

/** A machine, and the upgrade that an earlier run began on it. */
export type MachineToUpgrade = Pick<ObservedMachine, 'node' | 'kubelet' | 'begun'>

/**
 * Upgrades one machine to its target and verifies it; completed parts are not repeated. `turn` is every
 * machine that restarts at the same time. After a `coldStart` the proof also covers its boot entry.
 */
export async function upgradeMachine(
  context: UpgradeContext,
  { node, kubelet, begun }: MachineToUpgrade,
  target: MachineTarget,
  turn: readonly Node[],
  { coldStart = false } = {},
): Promise<void> {
  const { talosctl, log } = context
  const { name } = node
  const [running, gate] =
    begun === undefined
      ? await Promise.all([waitForRunning(context, node, readRunning), observeGate(context)])
      : [await waitForRunning(context, node, readUnlessShuttingDown), undefined]
  let back: NodeFacts | undefined
  const installs = !isRight(running, target)
  if (installs) {
    const live = installsLive(running.talosVersion, talosctl.version)
    const untouched = `${name} was not restarted`
    const installed = live
      ? `${untouched}; its next restart, for any reason, boots Talos ${target.version}`
      : untouched
    // While the machine keeps its old version, pods may be scheduled on it again.
    await uncordonAfterFailure(context, [node], async () => {
      await refuseRolledBack(context, { node, running, begun }, target)
      await passGate(context, turn, untouched, { observed: gate })
      await prepareKernelArguments(context, node, running.talosVersion)
      if (live)
        await inStep(log, `Install Talos ${target.version} on ${name}`, (step) =>
          install(context, node, target.image, (line) => step.progress(line)),
        )
      await prepareRestart(context, node, target, { turn, now: installed })
      const before = await readBootId(node, talosctl)
      await inStep(log, `Restart ${name}`, async () => {
        await annotateRestart(context, node, target, before)
        await restart(context, node, before, live ? undefined : target.image, { coldStart })
        back = await waitForReboot(context, node, before, target)
      }).catch(async (error: unknown) => {
        if (!(error instanceof BootStuck)) throw error
        throw await returnToPrevious(context, { node, target, kubernetes: kubelet }, error)
      })
    })
  }
  await finishMachine(context, node, { target, kubernetes: kubelet, installs }, back)
}

/**
 * Reboots a machine for another reason than a new version, just as safely: after UPGRADE_GATE_COMMAND and the
 * gate, drained, and verified afterwards.
 */
export async function rebootSafely(
  context: UpgradeContext,
  node: Node,
  reboot: () => Promise<void>,
): Promise<void> {
  const { name } = node
  const now = `${name} was not restarted`
  const [{ talosVersion: version, schematic }, nodes] = await Promise.all([
    readRunning(node, context.talosctl),
    context.kubernetes.list<NodeObject>('/api/v1/nodes'),
  ])
  const target = { version, schematic }
  const own = nodeOf(node, nodes)
  await passGateCommand(context, name)
  await passGate(context, [node], now)
  await uncordonAfterFailure(context, [node], async () => {
    await prepareRestart(context, node, target, { turn: [node], now })
    await reboot()
  })
  const kubernetes = own?.status?.nodeInfo?.kubeletVersion ?? ''
  await finishMachine(context, node, { target, kubernetes, installs: false })
}
