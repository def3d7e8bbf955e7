/** Uncordons machines whose restart did not come to pass. */
import { Problem, reasonOf, type Node } from '@talosmith/core'
import { uncordon } from './cordon.ts'
import { restated } from './restated.ts'
import type { UpgradeContext } from './context.ts'

const usable = [
  ...['DRAIN_INCOMPLETE', 'GATE_CLOSED', 'GATE_COMMAND_FAILED'],
  ...['INSTALL_FAILED', 'CONFIG_REJECTED', 'UPGRADE_ROLLED_BACK'],
]

/** When work fails while machines run their old version, pods may come to them again, and the failure says so. */
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
          return (await uncordon(context, node)) ? `${node.name} is in use again` : undefined
        } catch (cause) {
          return `${node.name} stays cordoned by us (${reasonOf(cause)})`
        }
      }),
    )
    const now = [error.now, ...outcomes].filter((text) => text !== undefined).join('; ')
    throw restated(error, { now })
  }
}
