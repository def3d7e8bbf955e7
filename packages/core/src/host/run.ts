import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { quote } from './command.ts'
import { CommandFailed, type Output, type RunOptions } from './host.ts'

/** One process under way, near or far. */
export interface Running {
  /** Resolves with the exit code once the process has ended and its output is complete. */
  readonly ended: Promise<number>
  /** Signals the process and its group; where it is missing, a second command does. */
  readonly kill?: (signal: 'TERM' | 'KILL') => void
  /** Lets go of a process that nothing ends. */
  abandon(): void
}

/** Starts processes on one machine: what differs between near and far. */
export interface Transport {
  /** `text` is for a POSIX shell. Without `input` the standard input stays open, and empty, to the end. */
  start(
    text: string,
    io: {
      readonly input?: string | Uint8Array | Readable | undefined
      /** Doesn't wait for other commands. */
      readonly urgent?: boolean
      readonly onStdout: (chunk: Buffer) => void
      readonly onStderr: (chunk: Buffer) => void
    },
  ): Promise<Running>
}

export type RunInput = Omit<RunOptions, 'input'> & {
  readonly input?: string | Uint8Array | Readable
  /** What an error calls the command, where its text says little. */
  readonly called?: string
}
export type Run = (command: string, options: RunInput) => Promise<Output>

const timeoutExitCode = 124
const graceMs = 3000

/**
 * Carries out commands over a transport, the same way on every machine. `become` goes before bash,
 * for example ['sudo', '-n', '--'].
 */
export function runner(name: string, transport: Transport, become: readonly string[] = []): Run {
  return async (command, options) => {
    options.signal?.throwIfAborted()
    const mark = randomUUID()
    const lines = lineSplitter(options.onLine)
    const stdout = outputAfter(mark, lines())
    const stderr = outputAfter(mark, lines())
    const running = await transport.start(shellText(command, mark, become, options), {
      input: options.input,
      onStdout: stdout.add,
      onStderr: stderr.add,
    })
    const kill = (signal: 'TERM' | 'KILL'): void => {
      if (become.length === 0 && running.kill !== undefined) return running.kill(signal)
      void stderr.pid.then((pid) => signalFrom(transport, become, killText(pid, signal)))
    }
    const { exitCode, timedOut } = await endOf(running, kill, options)
    options.signal?.throwIfAborted()
    const output = { stdout: stdout.text(), stderr: stderr.text(), exitCode }
    if (exitCode !== 0 && options.nothrow !== true)
      throw new CommandFailed(
        name,
        options.called ?? command,
        output,
        timedOut ? options.timeoutMs : undefined,
      )
    return output
  }
}

/**
 * `command` as a POSIX shell starts it. bash says a mark on both outputs first: what a login shell
 * or sudo said before it isn't the command's, and the process id after it is what a kill needs.
 */
function shellText(
  command: string,
  mark: string,
  become: readonly string[],
  { env = {}, input }: RunInput,
): string {
  const exports = Object.entries(env).map(([name, value]) => `${name}=${quote(value)}`)
  const script = [
    `echo ${mark}; echo ${mark} $$ >&2`,
    // Users other than root often miss the folders of ip, bridge and friends.
    `export ${['LC_ALL=C', 'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"', ...exports].join(' ')}`,
    ...(input === undefined ? [endWithUs] : []),
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
const endWithUs = `exec 3<&0 </dev/null
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

/** Waits for the end, which a timeout or an abort brings about: first kindly, then surely. */
async function endOf(
  running: Running,
  signalAll: (signal: 'TERM' | 'KILL') => void,
  { timeoutMs, signal }: RunInput,
): Promise<{ exitCode: number; timedOut: boolean }> {
  const timers: NodeJS.Timeout[] = []
  let timedOut = false
  let giveUp: (code: number) => void = () => undefined
  const gaveUp = new Promise<number>((resolve) => (giveUp = resolve))
  const kill = (): void => {
    signalAll('TERM')
    timers.push(setTimeout(() => signalAll('KILL'), graceMs))
    timers.push(
      setTimeout(() => {
        running.abandon()
        giveUp(timeoutExitCode)
      }, 2 * graceMs),
    )
  }
  if (timeoutMs !== undefined)
    timers.push(
      setTimeout(() => {
        timedOut = true
        kill()
      }, timeoutMs),
    )
  // It may have come while the process was being started.
  if (signal?.aborted === true) kill()
  else signal?.addEventListener('abort', kill, { once: true })
  try {
    const exitCode = await Promise.race([running.ended, gaveUp])
    return { exitCode: timedOut ? timeoutExitCode : exitCode, timedOut }
  } finally {
    signal?.removeEventListener('abort', kill)
    timers.forEach(clearTimeout)
  }
}

async function signalFrom(
  transport: Transport,
  become: readonly string[],
  script: string,
): Promise<void> {
  const ignore = (): void => undefined
  try {
    const text = ['exec', ...become, 'bash', '-c', quote(script)].join(' ')
    const io = { input: '', urgent: true, onStdout: ignore, onStderr: ignore }
    await (
      await transport.start(text, io)
    ).ended
  } catch {
    // The connection is gone, and the command ends with it.
  }
}

/** Collects one output of a process from its mark on; all of it when the mark never came. */
function outputAfter(mark: string, onText: (chunk: Buffer | undefined) => void) {
  let before = Buffer.alloc(0)
  let begun = false
  let tellPid: (pid: number) => void = () => undefined
  const chunks: Buffer[] = []
  const keep = (chunk: Buffer): void => {
    if (chunk.length === 0) return
    chunks.push(chunk)
    onText(chunk)
  }
  return {
    /** Known once the mark has come; a process that is told to end before that has to wait for it. */
    pid: new Promise<number>((resolve) => (tellPid = resolve)),
    add(chunk: Buffer): void {
      if (begun) return keep(chunk)
      before = Buffer.concat([before, chunk])
      const start = before.indexOf(mark)
      const end = start < 0 ? -1 : before.indexOf('\n', start)
      if (end < 0) return
      begun = true
      tellPid(Number(before.toString('utf8', start + mark.length, end)))
      keep(before.subarray(end + 1))
    },
    text(): string {
      if (!begun) keep(before)
      onText(undefined)
      return Buffer.concat(chunks).toString()
    },
  }
}

/** Cuts chunks into lines; each call gives the feeder of one output. */
function lineSplitter(onLine: ((line: string) => void) | undefined) {
  return () => {
    const decoder = new StringDecoder()
    let rest = ''
    return (chunk: Buffer | undefined): void => {
      if (onLine === undefined) return
      // A carriage return alone ends a line too: programs with progress bars write so.
      const parts = (rest + (chunk === undefined ? decoder.end() : decoder.write(chunk))).split(
        /\r?\n|\r(?!$)/,
      )
      rest = parts.pop() ?? ''
      parts.forEach((line) => onLine(line))
      if (chunk === undefined && rest !== '') onLine(rest)
      if (chunk === undefined) rest = ''
    }
  }
}
