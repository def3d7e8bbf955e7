import {
  commandFor,
  Hopeless,
  Problem,
  waitFor,
  type Log,
  type Node,
  type Step,
} from '@talosmith/core'
import { machineFault } from '../machine-status.ts'
import { talosReason } from '../talos-output.ts'
import { cordon, uncordon } from './cordon.ts'
import { evictPods } from './drain.ts'
import { leaderOf } from './etcd-facts.ts'
import type { NodeObject } from './kubernetes-objects.ts'
import { isRight, readBootId, readNode, type NodeFacts, type Target } from './node-facts.ts'
import { observeMembers } from './observe-gate.ts'
import { passGate } from './pass-gate.ts'
import { proofFault, type Expected } from './proof.ts'
import { install, installsLive, restart, rolledBack, waitForComeback } from './restart.ts'
import { listOf } from './through-nodes.ts'
import { comebackMs, type UpgradeContext } from './upgrade-context.ts'

/** What one machine is to become. */
export interface MachineTarget extends Target {
  readonly image: string
}

/**
 * Brings one machine to its target and proves it; what is done already is not done again. `turn` is
 * everybody who is away at the same time.
 */
export async function upgradeMachine(
  context: UpgradeContext,
  node: Node,
  target: MachineTarget,
  kubernetes: string,
  turn: readonly Node[],
): Promise<void> {
  const { talosctl, log } = context
  const { name } = node
  const facts = await waitForFacts(context, node)
  if (!isRight(facts, target)) {
    const untouched = `${name} was not restarted`
    await passGate(context, turn, untouched)
    const live = installsLive(facts.talosVersion, talosctl.version)
    if (live)
      await inStep(log, `Install Talos ${target.version} on ${name}`, (step) =>
        install(context, node, target.image, (line) => step.progress(line)),
      )
    await inStep(log, `Drain ${name}`, () => drain(context, node, target.version))
    await stayingUsable(context, node, async () => {
      const gate = await passGate(
        context,
        turn,
        live
          ? `${untouched}; its next restart, whatever its reason, boots Talos ${target.version}`
          : untouched,
      )
      if (leaderOf(gate.etcd) === name && gate.etcd.members.length > 1)
        await handOver(context, node)
      const before = await readBootId(node, talosctl)
      await inStep(log, `Restart ${name}`, async () => {
        await restart(context, node, before, live ? undefined : target.image)
        await waitForComeback(context, node, before, target)
      })
    })
  }
  await stayingUsable(context, node, () =>
    inStep(log, `Prove ${name}`, () => prove(context, node, { target, kubernetes })),
  )
}

/** A step of the log around some work. */
export async function inStep<T>(
  log: Log,
  text: string,
  work: (step: Step) => Promise<T>,
): Promise<T> {
  const step = log.step(text)
  try {
    const result = await work(step)
    step.done()
    return result
  } catch (error) {
    step.fail()
    throw error
  }
}

/** Where a machine is on its way down: what it says now is not what it will say. */
const leavingStages = ['rebooting', 'shutting down', 'upgrading', 'resetting']

/** A machine that a killed run restarted may still be on its way. */
async function waitForFacts(
  { cluster, talosctl, log }: UpgradeContext,
  node: Node,
): Promise<NodeFacts> {
  return waitFor(
    `${node.name} to say what it runs`,
    async () => {
      const facts = await readNode(node, talosctl)
      const stage = facts.machine?.stage ?? ''
      if (leavingStages.includes(stage)) throw new Error(`it is ${stage}`)
      return facts
    },
    {
      log,
      withinMs: comebackMs(cluster),
      code: 'NODE_SILENT',
      hint: `look whether it runs (${commandFor(cluster, 'vm:status')}) and at its console (virsh console ${node.name})`,
    },
  )
}

async function drain(context: UpgradeContext, node: Node, version: string): Promise<void> {
  await cordon(context, node, version)
  // Alone, its pods have nowhere to go: they restart with it.
  if (context.cluster.nodes.length === 1) return
  await stayingUsable(context, node, () => evictPods(context, node))
}

/** When the work fails while the machine runs its old version, pods may come to it again. */
async function stayingUsable(
  context: UpgradeContext,
  node: Node,
  work: () => Promise<void>,
): Promise<void> {
  const usable = ['DRAIN_INCOMPLETE', 'GATE_CLOSED', 'INSTALL_FAILED', 'UPGRADE_ROLLED_BACK']
  try {
    await work()
  } catch (error) {
    if (error instanceof Problem && usable.includes(error.code))
      await uncordon(context, node).catch(() => undefined)
    throw error
  }
}

/** Lets another member lead before the leader goes, so that no write waits for an election. */
async function handOver(context: UpgradeContext, node: Node): Promise<void> {
  const { talosctl, log } = context
  await inStep(log, `Let another control plane lead etcd instead of ${node.name}`, async () => {
    // The election that follows without it is a matter of seconds.
    await talosctl.ask([node.address], ['etcd', 'forfeit-leadership']).catch((error: unknown) => {
      log.warn(`${node.name} keeps leading etcd: ${talosReason(error)}`)
    })
  })
}

/** Waits until everything about a machine is as it should be after its restart; then pods may come to it again. */
async function prove(context: UpgradeContext, node: Node, expected: Expected): Promise<void> {
  const { cluster, talosctl, kubernetes, log } = context
  await waitFor(
    `${node.name} to be proven`,
    async () => {
      const [facts, nodes, etcd] = await Promise.all([
        readNode(node, talosctl),
        listOf<NodeObject>(kubernetes, '/api/v1/nodes'),
        observeMembers(context),
      ])
      // It had its target before: what has ended its boot without it went back.
      const isUp = facts.machine !== undefined && machineFault(facts.machine) === undefined
      if (isUp && !isRight(facts, expected.target))
        throw await rolledBack(context, node, expected.target, facts)
      const own = nodes.find(({ metadata }) => metadata.name === node.name)
      const fault = proofFault(cluster, node, expected, { facts, node: own, etcd })
      if (fault?.final === true) throw new Hopeless(fault.reason)
      if (fault !== undefined) throw new Error(fault.reason)
    },
    {
      log,
      withinMs: comebackMs(cluster),
      everyMs: 4000,
      code: 'UPGRADE_UNPROVEN',
      hint: `mend what is named (console: virsh console ${node.name}), then run the same command again: it looks at ${node.name} first`,
    },
  )
  await uncordon(context, node)
}
