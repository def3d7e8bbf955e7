/** Runs commands over a transport, with timeouts and signals. */
import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { stopping } from '../stop.ts'
import { hostShell } from './host-shell.ts'
import { CommandFailed, timeoutExitCode, type Output, type RunOptions } from './shell.ts'
import { lineSplitter, outputAfter } from './process-output.ts'
import { killText, scriptInput, scriptOf, startBash } from './shell-text.ts'

/** A running process, local or remote. */
export interface RunningProcess {
  /** Resolves with the exit code once the process has ended and its output is complete. */
  readonly ended: Promise<number>
  /** Signals the process group; without it, a second command sends the signal. */
  readonly kill?: (signal: 'TERM' | 'KILL') => void
  /** Gives up on a process that does not end. */
  abandon(): void
}

/** Starts processes on one machine: what differs between this machine and a remote one. */
export interface Transport {
  /**
   * `text` is for any login shell. The standard input is `script`, then `input`; without one it stays open until the
   * end.
   */
  start(
    text: string,
    io: {
      readonly script: string
      readonly input?: string | Uint8Array | Readable | undefined
      /** Starts without waiting for other commands. */
      readonly urgent?: boolean
      readonly onStdout: (chunk: Buffer) => void
      readonly onStderr: (chunk: Buffer) => void
    },
  ): Promise<RunningProcess>
}

export type RunInput = Omit<RunOptions, 'input'> & {
  readonly input?: string | Uint8Array | Readable
  /** The name of the command in errors, where its text is not descriptive. */
  readonly called?: string
  /** Is not ended when the run is stopped, because the end of its input ends it. */
  readonly outlivesStop?: true
}
export type Run = (command: string, options: RunInput) => Promise<Output>

const graceMs = 3000

/**
 * Runs commands over a transport, the same way on every machine. `become` is put before bash, for example
 * ['sudo', '-n', '--']; `limitMs` is the time limit of commands that have none of their own.
 */
export function runner(
  name: string,
  transport: Transport,
  { become = [], limitMs }: { readonly become?: readonly string[]; readonly limitMs?: number } = {},
): Run {
  return async (command, { timeoutMs = limitMs, ...options }) => {
    const signals = [options.signal, options.outlivesStop ? undefined : stopping].filter(
      (signal) => signal !== undefined,
    )
    signals.forEach((signal) => signal.throwIfAborted())
    const marker = randomUUID()
    const lines = lineSplitter(options.onLine)
    const stdout = outputAfter(marker, lines())
    const stderr = outputAfter(marker, lines())
    const running = await transport.start(startBash(become), {
      script: scriptInput(
        scriptOf(command, {
          marker,
          env: options.env,
          endsWithInput: options.input === undefined,
        }),
      ),
      input: options.input,
      onStdout: stdout.add,
      onStderr: stderr.add,
    })
    const kill = (signal: 'TERM' | 'KILL'): void => {
      if (become.length === 0 && running.kill !== undefined) return running.kill(signal)
      void stderr.pid.then((pid) => signalFrom(transport, become, killText(pid, signal)))
    }
    const { exitCode, timedOut } = await endOf(running, kill, signals, timeoutMs)
    signals.forEach((signal) => signal.throwIfAborted())
    const output = { stdout: stdout.text(), stderr: stderr.text(), exitCode }
    // With `become`, it may be sudo that has refused.
    if (!stdout.hasBegun() && become.length === 0 && !timedOut) throw hostShell(name, output)
    if (exitCode !== 0 && options.nothrow !== true)
      throw new CommandFailed(
        name,
        options.called ?? command,
        output,
        timedOut ? timeoutMs : undefined,
      )
    return output
  }
}

/** Waits until the process ends; a timeout or an abort sends it SIGTERM, then SIGKILL. */
async function endOf(
  running: RunningProcess,
  signalAll: (signal: 'TERM' | 'KILL') => void,
  signals: readonly AbortSignal[],
  timeoutMs: number | undefined,
): Promise<{ exitCode: number; timedOut: boolean }> {
  const timers: NodeJS.Timeout[] = []
  let timedOut = false
  let giveUp: (code: number) => void = () => undefined
  const abandoned = new Promise<number>((resolve) => (giveUp = resolve))
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
  if (timeoutMs !== undefined && Number.isFinite(timeoutMs))
    timers.push(
      setTimeout(() => {
        timedOut = true
        kill()
      }, timeoutMs),
    )
  // A signal may have been aborted while the process was starting.
  if (signals.some(({ aborted }) => aborted)) kill()
  else signals.forEach((signal) => signal.addEventListener('abort', kill, { once: true }))
  try {
    const exitCode = await Promise.race([running.ended, abandoned])
    return { exitCode: timedOut ? timeoutExitCode : exitCode, timedOut }
  } finally {
    signals.forEach((signal) => signal.removeEventListener('abort', kill))
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
    const io = { script: scriptInput(script), input: '', urgent: true }
    await (
      await transport.start(startBash(become), { ...io, onStdout: ignore, onStderr: ignore })
    ).ended
  } catch {
    // The connection is lost, and the command ends with it.
  }
}
