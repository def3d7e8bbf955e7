/** The shell script around a command: marker, environment, and how it ends. */
import { quote } from './command.ts'

interface ShellOptions {
  /** A unique text that no command prints by chance. */
  readonly marker: string
  readonly env?: Readonly<Record<string, string>> | undefined
  /** End the command when its standard input, which is otherwise unused, ends. */
  readonly endsWithInput: boolean
}

/** The exit code of bash when its script did not arrive completely. */
const incomplete = 125

/**
 * The command line with which a login shell starts bash, which then reads its script from standard input, as
 * `scriptInput` has it. Every login shell understands it, because it contains neither a newline, a backslash nor `!`:
 * csh and tcsh expand them even between quotes, and fish a backslash. `become` is put before bash.
 */
export function startBash(become: readonly string[]): string {
  // --norc: bash reads ~/.bashrc when its standard input is a socket, as it always is here.
  const read = `LC_ALL=C; read -r -d "" script || exit ${incomplete}; eval "$script"`
  return ['exec', ...become, 'bash', '--noprofile', '--norc', '-c', quote(read)].join(' ')
}

/** What goes before the input of a command: bash reads up to the NUL byte, and leaves the rest to the command. */
export function scriptInput(script: string): string {
  return `${script}\0`
}

/**
 * The script that runs `command`. It first prints a marker on both streams: anything before it is output of a
 * login shell or sudo, and the process id after it is what a kill needs.
 */
export function scriptOf(
  command: string,
  { marker, env = {}, endsWithInput }: ShellOptions,
): string {
  const exports = Object.entries(env).map(([name, value]) => `${name}=${quote(value)}`)
  return [
    `echo ${marker}; echo ${marker} $$ >&2; unset script`,
    // The PATH of users other than root often lacks the folders of ip and bridge.
    `export ${['LC_ALL=C', 'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"', ...exports].join(' ')}`,
    ...(endsWithInput ? [watchInput] : []),
    'set -euo pipefail',
    command,
  ].join('\n')
}

/**
 * Signals the whole process group of process `pid` (a shell word). Without /proc, on macOS, the process leads its group:
 * only commands of this machine run there.
 */
export function killText(pid: string | number, signal: 'TERM' | 'KILL'): string {
  const group = `if [ -e /proc/self ]; then read -r stat </proc/${pid}/stat && set -- \${stat##*) }; else set -- - - ${pid}; fi`
  return `${group} && kill -${signal} -- "-$3"`
}

/**
 * Ends the command when its standard input ends, which happens when the program that started it exits or
 * the connection breaks. Forked twice, so that a `wait` in the command doesn't wait for it.
 */
const watchInput = `exec 3<&0 </dev/null
(
  (
    while read -r _; do :; done
    kill -0 $$ || exit 0
    trap '' TERM
    ${killText('$$', 'TERM')}
    sleep 2
    kill -KILL -- "-$3"
  ) <&3 >/dev/null 2>&1 &
)
exec 3<&-`
