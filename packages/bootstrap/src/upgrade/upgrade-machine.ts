/** Upgrades one machine to another version of Talos, safely. */
import { commandFor, Unrecoverable, inStep, waitFor, type Node } from '@talosmith/core'
import {
  machineProblem,
  type Talosctl,
  isRight,
  readKernelArguments,
  readBootId,
  readNode,
  readRunning,
  type NodeFacts,
  type RunningTalos,
  type Target,
} from '@talosmith/clients/talos'
import { annotateRestart, uncordon } from '../restart/cordon.ts'
import { install, installsLive } from '../restart/install.ts'
import { nodeOf, type NodeObject } from '@talosmith/clients/kubernetes'
import { observeEtcdFacts } from '@talosmith/clients/etcd'
import { observeGate } from '../restart/observe-gate.ts'
import type { ObservedMachine } from './observe-upgrade.ts'
import { passGate, passGateCommand } from '../restart/pass-gate.ts'
import { findRestartProblem, type Expected } from '../restart/proof.ts'
import { refuseRolledBack, restart, rolledBack, waitForReboot } from '../restart/restart.ts'
import { uncordonAfterFailure } from '../restart/uncordon-after-failure.ts'
import { prepareRestart } from '../restart/hand-over.ts'
import { prepareKernelArguments } from './grub-arguments.ts'
import { rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'

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

/**
 * Verifies a machine that runs its target, and uncordons it; `observed` is what it reported just now. Kernel
 * arguments are verified only where this run `installs` the version: no restart brings back those lost earlier.
 */
export async function finishMachine(
  context: UpgradeContext,
  node: Node,
  expected: Expected & { readonly installs: boolean },
  observed?: NodeFacts,
): Promise<void> {
  await uncordonAfterFailure(context, [node], () =>
    inStep(context.log, `Verify ${node.name}`, () => verify(context, node, expected, observed)),
  )
}

/** Stages of a machine that is shutting down: what it reports is about to change. */
const shutdownStages = ['rebooting', 'shutting down', 'upgrading', 'resetting']

/** What a machine runs that a killed run may have restarted. Throws while it is shutting down. */
async function readUnlessShuttingDown(node: Node, talosctl: Talosctl): Promise<RunningTalos> {
  const facts = await readNode(node, talosctl)
  const stage = facts.machine?.stage ?? ''
  if (shutdownStages.includes(stage)) throw new Error(`it is ${stage}`)
  return facts
}

async function waitForRunning(
  { cluster, talosctl, log }: UpgradeContext,
  node: Node,
  read: typeof readRunning,
): Promise<RunningTalos> {
  return waitFor(`${node.name} to report what it runs`, () => read(node, talosctl), {
    log,
    withinMs: rebootTimeoutMs(cluster),
    code: 'NODE_SILENT',
    hint: `check that it runs (${commandFor(cluster, 'vm:status')}) and check its console (virsh console ${node.name})`,
  })
}

/** Waits until a machine is healthy after its restart, then uncordons it. */
async function verify(
  context: UpgradeContext,
  node: Node,
  expected: Expected & { readonly installs: boolean },
  observed: NodeFacts | undefined,
): Promise<void> {
  const { cluster, talosctl, kubernetes, log } = context
  let known = observed
  await waitFor(
    `${node.name} to be healthy`,
    async () => {
      const [facts, boot, nodes, etcd, kernelArguments] = await Promise.all([
        known ?? readNode(node, talosctl),
        readBootId(node, talosctl).catch(() => undefined),
        kubernetes.list<NodeObject>('/api/v1/nodes'),
        node.role === 'controlplane'
          ? observeEtcdFacts(cluster, talosctl, context.secrets)
          : undefined,
        expected.installs && cluster.settings.TALOS_KERNEL_ARGS.length > 0
          ? readKernelArguments(node, talosctl)
          : undefined,
      ])
      known = undefined
      // It ran its target before: a completed boot without it means a rollback.
      const isUp = facts.machine !== undefined && machineProblem(facts.machine) === undefined
      if (isUp && !isRight(facts, expected.target))
        throw await rolledBack(context, node, expected.target, facts)
      const own = nodeOf(node, nodes)
      const problem = findRestartProblem(cluster, node, expected, {
        ...{ facts, boot, etcd, kernelArguments },
        node: own,
      })
      if (problem?.final === true) throw new Unrecoverable(problem.reason)
      if (problem !== undefined) throw new Error(problem.reason)
    },
    {
      log,
      withinMs: rebootTimeoutMs(cluster),
      everyMs: 4000,
      code: 'UPGRADE_UNPROVEN',
      hint: `fix the reported problem (console: virsh console ${node.name}), then run the same command again: it checks ${node.name} first`,
    },
  )
  await uncordon(context, node)
}
