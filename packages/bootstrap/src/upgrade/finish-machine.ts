/** Verifies a machine that runs what it is to run, and uncordons it. */
import { inStep, Unrecoverable, waitFor, type Node } from '@talosmith/core'
import {
  machineProblem,
  isRight,
  readKernelArguments,
  readBootId,
  readNode,
  type NodeFacts,
} from '@talosmith/clients/talos'
import { uncordon } from '../restart/cordon.ts'
import { nodeOf, type NodeObject } from '@talosmith/clients/kubernetes'
import { observeEtcdFacts } from '@talosmith/clients/etcd'
import { findRestartProblem, type Expected } from '../restart/proof.ts'
import { rolledBack } from '../restart/restart.ts'
import { uncordonAfterFailure } from '../restart/uncordon-after-failure.ts'
import type { FailedVersion } from '../restart/upgrade-annotation.ts'
import { rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'

/** The desired state of a machine that is to be uncordoned. */
export interface Finish extends Expected {
  /** Whether this run installed the target. Only then are kernel arguments verified: no restart brings back lost ones. */
  readonly installs: boolean
  /** The version that did not boot, when the target is the one before it: it is recorded on the node. */
  readonly failed?: FailedVersion
}

/** Verifies a machine that runs its target, and uncordons it; `observed` is what it reported just now. */
export async function finishMachine(
  context: UpgradeContext,
  node: Node,
  expected: Finish,
  observed?: NodeFacts,
): Promise<void> {
  await uncordonAfterFailure(context, [node], () =>
    inStep(context.log, `Verify ${node.name}`, () => verify(context, node, expected, observed)),
  )
}

/** Waits until a machine is healthy after its restart, then uncordons it. */
async function verify(
  context: UpgradeContext,
  node: Node,
  expected: Finish,
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
  await uncordon(context, node, expected.failed ?? (expected.installs ? null : undefined))
}
