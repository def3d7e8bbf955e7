import { inStep, Problem, type Node } from '@talosmith/core'
import { talosReason, type Target } from '@talosmith/clients/talos'
import { cordon } from './cordon.ts'
import { evictPods } from './drain.ts'
import { leaderOf } from '@talosmith/clients/etcd'
import { passGate } from './pass-gate.ts'
import { restated } from './restated.ts'
import type { UpgradeContext } from './context.ts'

/** Drains a machine, and passes the gate once more; then it may go. */
export async function takeAway(
  context: UpgradeContext,
  node: Node,
  target: Target,
  { turn, now }: { readonly turn: readonly Node[]; readonly now: string },
): Promise<void> {
  await inStep(context.log, `Drain ${node.name}`, () => drain(context, node, target, now))
  const { etcd } = await passGate(context, turn, now)
  if (leaderOf(etcd) === node.name && etcd.members.length > 1) await handOver(context, node)
}

async function drain(
  context: UpgradeContext,
  node: Node,
  target: Target,
  now: string,
): Promise<void> {
  await cordon(context, node, target, now)
  // Alone, its pods have nowhere to go: they restart with it.
  if (context.cluster.nodes.length === 1) return
  await evictPods(context, node).catch((error: unknown) => {
    throw error instanceof Problem ? restated(error, { now }) : error
  })
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
