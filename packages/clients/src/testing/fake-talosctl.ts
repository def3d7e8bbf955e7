/** A fake talosctl for tests. */
import { CommandFailed, findTool, type Cluster, type Output } from '@talosmith/core'
import type { Talosctl } from '@talosmith/clients/talos'

/** What a fake talosctl answers: stdout, or stderr of a call that fails with exit code 1. */
export type Reply = string | { readonly stderr: string; readonly stdout?: string }

/** A talosctl that reaches no machine: `reply` is given the arguments and the machines; every call is recorded. */
export function fakeTalosctl(
  reply: (words: string, nodes: readonly string[]) => Reply,
): Talosctl & { readonly calls: string[] } {
  const calls: string[] = []
  const run = async (
    words: readonly string[],
    nodes: readonly string[],
    nothrow = false,
  ): Promise<Output> => {
    calls.push([...words, ...(nodes.length > 0 ? ['@', nodes.join(',')] : [])].join(' '))
    const answer = reply(words.join(' '), nodes)
    if (typeof answer === 'string') return { stdout: answer, stderr: '', exitCode: 0 }
    const output = { stdout: answer.stdout ?? '', stderr: answer.stderr, exitCode: 1 }
    if (nothrow) return output
    throw new CommandFailed('this machine', 'talosctl', output)
  }
  return {
    version: 'v1.13.9',
    calls,
    offline: (...args) => run(args, []),
    ask: (nodes, args, { nothrow } = {}) => run(args, nodes, nothrow),
    askInsecurely: (node, args) => run([...args, '--insecure'], [node]),
  }
}

/** One resource as `talosctl get -o json` prints it. */
export function resource(node: string, spec: unknown, id = 'it'): string {
  return `${JSON.stringify({ metadata: { id, type: 'T' }, node, spec }, null, 4)}\n`
}

/** The text of `talosctl version` of several machines. */
export function versions(all: Readonly<Record<string, string>>): string {
  const blocks = Object.entries(all).map(
    ([node, tag]) => `\tNODE:        ${node}\n\tTag:         ${tag}\n\tSHA:         x\n`,
  )
  return `Client:\n\tTag:         v1.13.9\nServer:\n${blocks.join('')}`
}

/** Whether a real talosctl that fits the cluster is available; prints a note when it is not. */
export async function hasTalosctl(cluster: Cluster): Promise<boolean> {
  try {
    await findTool('talosctl', cluster)
    return true
  } catch (error) {
    console.log(`skipped: ${error instanceof Error ? error.message : String(error)}`)
    return false
  }
}
