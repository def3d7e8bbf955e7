/** The console tail: the last lines of a machine's console log, from its KVM host. */
import { consoleLog, plainLines, reasonOf, redactShapes, type Node } from '@talosmith/core'
import type { UpgradeContext } from './context.ts'

const lines = 15

/** The last lines of a machine's console log, or why they cannot be read. */
export async function consoleTail(
  { hosts }: Pick<UpgradeContext, 'hosts'>,
  node: Node,
): Promise<string> {
  const path = consoleLog(node.name)
  try {
    const host = (await hosts())[node.host]
    if (host === undefined) return `its host is not in LIBVIRT_URI`
    const { stdout, stderr, exitCode } = await host.$({ nothrow: true, timeoutMs: 20_000 })`
      if [ -r ${path} ]; then tail -c 20000 -- ${path}; else sudo -n tail -c 20000 -- ${path}; fi`
    if (exitCode !== 0) return `${path} on ${host.name} cannot be read: ${stderr.trim()}`
    return redactShapes(plainLines(stdout).slice(-lines).join('\n'))
  } catch (error) {
    return `its console cannot be read: ${reasonOf(error)}`
  }
}
