/** Reads logs of machines on their KVM host: the only way to their serial consoles. */
import { consoleLog, plainLines } from '../console.ts'
import { parseLabelledLines, splitFields, type LabelledLines } from '../labelled-lines.ts'
import { reasonOf } from '../problem.ts'
import type { RunOptions } from '../process/shell.ts'
import type { Host } from './host.ts'

/** The end of a log. */
export interface LogEnd {
  readonly text: string
  /** For how long nothing was written to it, in seconds, by the host's clock; undefined: not known. */
  readonly quietS: number | undefined
}

/** The end of a log, or why it cannot be read. */
export type ReadLog = LogEnd | { readonly reason: string }

/** The end of a machine's console log. */
export interface ConsoleEnd {
  readonly lines: readonly string[]
  /** For how long nothing was printed, in seconds, by the host's clock. */
  readonly quietS: number
}

const readMs = 20_000

/**
 * virtlogd writes a log for root only (libvirt, src/logging/log_handler.c, DEFAULT_MODE 0600), in a folder that others
 * may not enter: a user of the group libvirt needs sudo without a password. What may be read at all is tried first.
 */
const functions = `
root_for() { if LC_ALL=C tail -c 1 -- "$1" >/dev/null 2>&1; then as=(); else as=(sudo -n); fi; }
read_log() {
  local as problem changed; root_for "$2"
  if problem=$(LC_ALL=C "\${as[@]}" tail -c 1 -- "$2" 2>&1 >/dev/null); then
    echo "console $1 $("\${as[@]}" tail -c "$3" -- "$2" | base64 -w0)"
    changed=$("\${as[@]}" stat -c %Y -- "$2" 2>/dev/null) && echo "quiet $1 $(($(date +%s) - changed))"
  elif [ ! -e "$2" ] && [ -x "\${2%/*}" ]; then echo "absent $1 $2"
  else echo "unreadable $1 $2: $(echo $problem)"; fi
  true
}`

/** Options of a command that begins with `eval "$LOGS"`, and then has `read_log <name> <path> <bytes>`. */
export const logFunctions = { env: { LOGS: functions } } as const satisfies RunOptions

/** The logs that `read_log` printed on `host`, by name. */
export function parseLogs(host: string, { lines }: LabelledLines): Map<string, ReadLog> {
  const logs = new Map<string, ReadLog>()
  for (const { label, value } of lines) {
    const [name = '', rest = ''] = splitFields(value, 2)
    const known = logs.get(name)
    if (label === 'console')
      logs.set(name, { text: Buffer.from(rest, 'base64').toString(), quietS: undefined })
    if (label === 'quiet' && known !== undefined && 'text' in known)
      logs.set(name, { ...known, quietS: Number(rest) })
    if (label === 'absent')
      logs.set(name, { reason: `there is no ${rest} on ${host}: the machine has not run there` })
    if (label === 'unreadable')
      logs.set(name, {
        reason: /: No such file or directory$/.test(rest.trim())
          ? `there is no ${rest.replace(/: .*/s, '')} on ${host}: the machine has not run there`
          : `${rest.trim()}; on ${host} only root reads the logs of libvirt: use a user who is root in LIBVIRT_URI, or one who may use sudo without a password`,
      })
  }
  return logs
}

/** The last `bytes` of each log, by the names that `paths` gives; one that the host prints nothing of is left out. */
export async function readLogs(
  host: Host,
  paths: ReadonlyMap<string, string>,
  bytes: number,
): Promise<Map<string, ReadLog>> {
  const { stdout } = await host.$({ nothrow: true, timeoutMs: readMs, ...logFunctions })`
eval "$LOGS"
names=(${[...paths.keys()]})
logs=(${[...paths.values()]})
for at in "\${!names[@]}"; do read_log "\${names[at]}" "\${logs[at]}" ${bytes}; done`
  return parseLogs(host.name, parseLabelledLines(stdout))
}

/** The end of a machine's console log, or why it cannot be read. */
export async function readConsole(
  host: Host,
  name: string,
): Promise<ConsoleEnd | { readonly reason: string }> {
  try {
    const logs = await readLogs(host, new Map([[name, consoleLog(name)]]), 20_000)
    const read = logs.get(name)
    if (read === undefined) return { reason: `${host.name} does not show its console` }
    if ('reason' in read) return { reason: `its console cannot be read: ${read.reason}` }
    return { lines: plainLines(read.text), quietS: read.quietS ?? 0 }
  } catch (error) {
    return { reason: `its console cannot be read: ${reasonOf(error)}` }
  }
}

/** How many bytes the machine's console log has; 0 where it cannot be read. */
export async function consoleSize(host: Host, name: string): Promise<number> {
  const { stdout } = await host.$({ nothrow: true, timeoutMs: readMs, ...logFunctions })`
eval "$LOGS"
path=${consoleLog(name)}; root_for "$path"
"\${as[@]}" stat -c %s -- "$path" 2>/dev/null || echo 0`
  return Number(stdout.trim())
}

/**
 * What a machine's console has shown since its log had `size` bytes, as it was printed; all of it, when the log was
 * rotated since. Throws CommandFailed where it cannot be read.
 */
export async function consoleSince(host: Host, name: string, size: number): Promise<string> {
  const { stdout } = await host.$({ timeoutMs: readMs, ...logFunctions })`
eval "$LOGS"
path=${consoleLog(name)}; root_for "$path"
size=${String(size)}
if [ "$("\${as[@]}" stat -c %s -- "$path")" -lt "$size" ]; then size=0; fi
"\${as[@]}" tail -c "+$((size + 1))" -- "$path"`
  return stdout
}
