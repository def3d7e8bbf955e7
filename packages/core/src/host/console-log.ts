/** Reads the console log of a machine on its KVM host. */
import { consoleLog, plainLines } from '../console.ts'
import { reasonOf } from '../problem.ts'
import type { Host } from './host.ts'

/** The end of a machine's console log. */
export interface ConsoleEnd {
  readonly lines: readonly string[]
  /** For how long nothing was printed, in seconds, by the host's clock. */
  readonly quietS: number
}

/** The end of a machine's console log, or why it cannot be read. */
export async function readConsole(
  host: Host,
  name: string,
): Promise<ConsoleEnd | { readonly reason: string }> {
  const path = consoleLog(name)
  try {
    const { stdout, stderr, exitCode } = await host.$({ nothrow: true, timeoutMs: 20_000 })`
as_root() { if [ -r ${path} ]; then "$@"; else sudo -n "$@"; fi; }
changed=$(as_root stat -c %Y -- ${path} 2>/dev/null) && echo "quiet $(($(date +%s) - changed))"
as_root tail -c 20000 -- ${path}`
    if (exitCode !== 0)
      return { reason: `${path} on ${host.name} cannot be read: ${stderr.trim()}` }
    const quiet = /^quiet (\d+)\n/.exec(stdout)
    return {
      lines: plainLines(stdout.slice(quiet?.[0].length ?? 0)),
      quietS: Number(quiet?.[1] ?? 0),
    }
  } catch (error) {
    return { reason: `its console cannot be read: ${reasonOf(error)}` }
  }
}
