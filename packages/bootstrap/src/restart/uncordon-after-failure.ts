/** Uncordons machines that were not restarted because an upgrade failed. */
import { codes, Problem, reasonOf, type Node } from '@talosmith/core'
import { uncordon } from './cordon.ts'
import { restateProblem } from './restated.ts'
import type { UpgradeContext } from './context.ts'

const usable = [
  ...['DRAIN_INCOMPLETE', codes.gateClosed, 'GATE_COMMAND_FAILED'],
  ...['INSTALL_FAILED', 'CONFIG_REJECTED', 'KERNEL_ARGS_LOST', 'UPGRADE_ROLLED_BACK'],
]

/** Uncordons machines when `work` fails while they run their old version; the problem then reports it. */
export async function uncordonAfterFailure<T>(
  context: UpgradeContext,
  nodes: readonly Node[],
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof Problem) || !usable.includes(error.code)) throw error
    const outcomes = await Promise.all(
      nodes.map(async (node) => {
        try {
          return (await uncordon(context, node)) ? `${node.name} was uncordoned` : undefined
        } catch (cause) {
          return `${node.name} is still cordoned, because uncordoning failed (${reasonOf(cause)})`
        }
      }),
    )
    const now = [error.now, ...outcomes].filter((text) => text !== undefined).join('; ')
    throw restateProblem(error, { now })
  }
}
