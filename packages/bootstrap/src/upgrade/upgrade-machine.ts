/** Takes one machine to another version of Talos, safely. */
import { commandFor, Unrecoverable, inStep, waitFor, type Node } from '@talosmith/core'
import {
  machineFault,
  type Talosctl,
  isRight,
  readBootId,
  readNode,
  readRunning,
  type NodeFacts,
  type RunningTalos,
  type Target,
} from '@talosmith/clients/talos'
import { annotateRestart, uncordon } from '../restart/cordon.ts'
import { install, installsLive } from '../restart/install.ts'
import { type NodeObject } from '@talosmith/clients/kubernetes'
import { observeEtcdFacts } from '@talosmith/clients/etcd'
import { observeGate } from '../restart/observe-gate.ts'
import type { ObservedMachine } from './observe-upgrade.ts'
import { passGate, passGateCommand } from '../restart/pass-gate.ts'
import { proofFault, type Expected } from '../restart/proof.ts'
import { refuseWentBack, restart, rolledBack, waitForReboot } from '../restart/restart.ts'
import { uncordonAfterFailure } from '../restart/uncordon-after-failure.ts'
import { takeAway } from '../restart/hand-over.ts'
import { rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'

/** What one machine is to become. */
export interface MachineTarget extends Target {
  readonly image: string
}

/** A machine, and what a run before has begun with it. */
export type MachineToTake = Pick<ObservedMachine, 'node' | 'kubelet' | 'begun'>

/**
 * Brings one machine to its target and proves it; what is done already is not done again. `turn` is
 * everybody who is away at the same time.
 */
export async function upgradeMachine(
  context: UpgradeContext,
  { node, kubelet, begun }: MachineToTake,
  target: MachineTarget,
  turn: readonly Node[],
): Promise<void> {
  const { talosctl, log } = context
  const { name } = node
  const [running, gate] =
    begun === undefined
      ? await Promise.all([waitForRunning(context, node, readRunning), observeGate(context)])
      : [await waitForRunning(context, node, readStanding), undefined]
  let back: NodeFacts | undefined
  if (!isRight(running, target)) {
    const live = installsLive(running.talosVersion, talosctl.version)
    const untouched = `${name} was not restarted`
    const installed = live
      ? `${untouched}; its next restart, whatever its reason, boots Talos ${target.version}`
      : untouched
    // When the machine goes on with its old version, pods may come to it again.
    await uncordonAfterFailure(context, [node], async () => {
      await refuseWentBack(context, { node, running, begun }, target)
      await passGate(context, turn, untouched, { seen: gate })
      if (live)
        await inStep(log, `Install Talos ${target.version} on ${name}`, (step) =>
          install(context, node, target.image, (line) => step.progress(line)),
        )
      await takeAway(context, node, target, { turn, now: installed })
      const before = await readBootId(node, talosctl)
      await inStep(log, `Restart ${name}`, async () => {
        await annotateRestart(context, node, target, before)
        await restart(context, node, before, live ? undefined : target.image)
        back = await waitForReboot(context, node, before, target)
      })
    })
  }
  await finishMachine(context, node, target, kubelet, back)
}

/**
 * Lets a machine reboot for another reason than a new version, as safely as for one: through the user's
 * command and the gate, drained, and proven afterwards.
 */
export async function aroundReboot(
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
  const own = nodes.find(({ metadata }) => metadata.name === name)
  await passGateCommand(context, name)
  await passGate(context, [node], now)
  await uncordonAfterFailure(context, [node], async () => {
    await takeAway(context, node, target, { turn: [node], now })
    await reboot()
  })
  await finishMachine(context, node, target, own?.status?.nodeInfo?.kubeletVersion ?? '')
}

/** Proves a machine that runs what it should, and lets pods come to it again; `seen` is what it said just now. */
export async function finishMachine(
  context: UpgradeContext,
  node: Node,
  target: Target,
  kubernetes: string,
  seen?: NodeFacts,
): Promise<void> {
  await uncordonAfterFailure(context, [node], () =>
    inStep(context.log, `Prove ${node.name}`, () =>
      prove(context, node, { target, kubernetes }, seen),
    ),
  )
}

/** Where a machine is on its way down: what it says now is not what it will say. */
const leavingStages = ['rebooting', 'shutting down', 'upgrading', 'resetting']

/** What a machine runs that a killed run may have restarted: on its way down it does not count. */
async function readStanding(node: Node, talosctl: Talosctl): Promise<RunningTalos> {
  const facts = await readNode(node, talosctl)
  const stage = facts.machine?.stage ?? ''
  if (leavingStages.includes(stage)) throw new Error(`it is ${stage}`)
  return facts
}

async function waitForRunning(
  { cluster, talosctl, log }: UpgradeContext,
  node: Node,
  read: typeof readRunning,
): Promise<RunningTalos> {
  return waitFor(`${node.name} to say what it runs`, () => read(node, talosctl), {
    log,
    withinMs: rebootTimeoutMs(cluster),
    code: 'NODE_SILENT',
    hint: `look whether it runs (${commandFor(cluster, 'vm:status')}) and at its console (virsh console ${node.name})`,
  })
}

/** Waits until everything about a machine is as it should be after its restart; then pods may come to it again. */
async function prove(
  context: UpgradeContext,
  node: Node,
  expected: Expected,
  seen: NodeFacts | undefined,
): Promise<void> {
  const { cluster, talosctl, kubernetes, log } = context
  let known = seen
  await waitFor(
    `${node.name} to be proven`,
    async () => {
      const [facts, nodes, etcd] = await Promise.all([
        known ?? readNode(node, talosctl),
        kubernetes.list<NodeObject>('/api/v1/nodes'),
        node.role === 'controlplane'
          ? observeEtcdFacts(cluster, talosctl, context.secrets)
          : undefined,
      ])
      known = undefined
      // It had its target before: what has ended its boot without it went back.
      const isUp = facts.machine !== undefined && machineFault(facts.machine) === undefined
      if (isUp && !isRight(facts, expected.target))
        throw await rolledBack(context, node, expected.target, facts)
      const own = nodes.find(({ metadata }) => metadata.name === node.name)
      const fault = proofFault(cluster, node, expected, { facts, node: own, etcd })
      if (fault?.final === true) throw new Unrecoverable(fault.reason)
      if (fault !== undefined) throw new Error(fault.reason)
    },
    {
      log,
      withinMs: rebootTimeoutMs(cluster),
      everyMs: 4000,
      code: 'UPGRADE_UNPROVEN',
      hint: `mend what is named (console: virsh console ${node.name}), then run the same command again: it looks at ${node.name} first`,
    },
  )
  await uncordon(context, node)
}
