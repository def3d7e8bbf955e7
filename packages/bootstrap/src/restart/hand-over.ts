/** Prepares a machine for its restart: drains it and moves etcd leadership away from it. */
import { inStep, Problem, type Node } from '@talosmith/core'
import { talosReason, type Target } from '@talosmith/clients/talos'
import { cordon } from './cordon.ts'
import { evictPods } from './drain.ts'
import { leaderOf } from '@talosmith/clients/etcd'
import { passGate } from './pass-gate.ts'
import { restateProblem } from './restated.ts'
import type { UpgradeContext } from './context.ts'

/** Drains a machine, passes the gate once more and moves etcd leadership away; then it can be restarted. */
export async function prepareRestart(
  context: UpgradeContext,
  node: Node,
  target: Target,
  { turn, now }: { readonly turn: readonly Node[]; readonly now: string },
): Promise<void> {
  await inStep(context.log, `Drain ${node.name}`, () => drain(context, node, target, now))
  const { etcd } = await passGate(context, turn, now)
  const leader = leaderOf(context.cluster.controlPlanes, etcd)
  if (leader === node.name && etcd.members.length > 1) await moveLeadership(context, node)
}

async function drain(
  context: UpgradeContext,
  node: Node,
  target: Target,
  now: string,
): Promise<void> {
  await cordon(context, node, target, now)
  // No other node could run its pods: they restart with the machine.
  if (context.cluster.nodes.length === 1) return
  await evictPods(context, node).catch((error: unknown) => {
    throw error instanceof Problem ? restateProblem(error, { now }) : error
  })
}

/** Moves leadership to another member before the leader restarts, so that no write waits for an election. */
async function moveLeadership(context: UpgradeContext, node: Node): Promise<void> {
  const { talosctl, log } = context
  await inStep(log, `Move etcd leadership away from ${node.name}`, async () => {
    // Not fatal: without it, the election takes a few seconds.
    await talosctl.ask([node.address], ['etcd', 'forfeit-leadership']).catch((error: unknown) => {
      log.warn(`could not move etcd leadership away from ${node.name}: ${talosReason(error)}`)
    })
  })
}
