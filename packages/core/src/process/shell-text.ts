import { quote } from './command.ts'

interface ShellOptions {
  /** A text that no command says by chance. */
  readonly mark: string
  /** Goes before bash. */
  readonly become: readonly string[]
  readonly env?: Readonly<Record<string, string>> | undefined
  /** End the command when its standard input ends, which then carries nothing. */
  readonly endsWithUs: boolean
}

/**
 * `command` as a POSIX shell starts it. bash says a mark on both outputs first: what a login shell
 * or sudo said before it isn't the command's, and the process id after it is what a kill needs.
 */
export function shellText(
  command: string,
  { mark, become, env = {}, endsWithUs }: ShellOptions,
): string {
  const exports = Object.entries(env).map(([name, value]) => `${name}=${quote(value)}`)
  const script = [
    `echo ${mark}; echo ${mark} $$ >&2`,
    // Users other than root often miss the folders of ip, bridge and friends.
    `export ${['LC_ALL=C', 'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"', ...exports].join(' ')}`,
    ...(endsWithUs ? [watchInput] : []),
    'set -euo pipefail',
    command,
  ].join('\n')
  // --norc: bash reads ~/.bashrc when its standard input is a socket, and it always is one here.
  return ['exec', ...become, 'bash', '--noprofile', '--norc', '-c', quote(script)].join(' ')
}

/** Signals the whole process group of process `pid` (a shell word). */
export function killText(pid: string | number, signal: 'TERM' | 'KILL'): string {
  return `read -r stat </proc/${pid}/stat && set -- \${stat##*) } && kill -${signal} -- "-$3"`
}

/**
 * Watches the standard input, which carries nothing but ends when the program that started the
 * command ends or its connection breaks: then the command ends too. Forked twice, so that a `wait`
 * in the command doesn't wait for it.
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
