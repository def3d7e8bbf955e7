/** The console log of a machine, from its KVM host: its last lines, and whether the boot that it shows has failed. */
import {
  bootFailure,
  bootsOf,
  lastBoot,
  machineHost,
  readConsole,
  reasonOf,
  redactShapes,
  type BootFailure,
  type ConsoleEnd,
  type Node,
} from '@talosmith/core'
import type { UpgradeContext } from './context.ts'

const lines = 15

/** The last lines of a machine's console log, or why they cannot be read. */
export async function consoleTail(
  context: Pick<UpgradeContext, 'hosts'>,
  node: Node,
): Promise<string> {
  const found = await consoleOf(context, node)
  return 'reason' in found ? found.reason : redactShapes(found.lines.slice(-lines).join('\n'))
}

/** How many checks share one look at the console: each is a command on the host. */
const checksPerLook = 5

/**
 * Looks at the console of a machine that restarts, at every fifth check: how its last boot failed, once two looks show
 * the same; undefined: it has not, or its console cannot be read.
 */
export function createBootWatch(
  context: Pick<UpgradeContext, 'hosts'>,
  node: Node,
): () => Promise<BootFailure | undefined> {
  let checks = 0
  let last: BootFailure | undefined
  let certain: BootFailure | undefined
  return async () => {
    if (checks++ % checksPerLook > 0) return certain
    const found = await consoleOf(context, node)
    const failure = 'reason' in found ? undefined : bootFailure(lastBoot(found.lines))
    certain = failure !== undefined && failure.kind === last?.kind ? failure : undefined
    last = failure
    return certain
  }
}

/** The boots that the end of a machine's console log shows, the last one last; none: it cannot be read. */
export async function readBoots(
  context: Pick<UpgradeContext, 'hosts'>,
  node: Node,
): Promise<readonly (readonly string[])[]> {
  const found = await consoleOf(context, node)
  return 'reason' in found ? [] : bootsOf(found.lines)
}

async function consoleOf(
  { hosts }: Pick<UpgradeContext, 'hosts'>,
  node: Node,
): Promise<ConsoleEnd | { readonly reason: string }> {
  try {
    const host = await machineHost(await hosts(), node)
    if (host === undefined) return { reason: 'its host is not in LIBVIRT_URI' }
    return await readConsole(host, node.name)
  } catch (error) {
    return { reason: `its console cannot be read: ${reasonOf(error)}` }
  }
}
