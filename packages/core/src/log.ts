/** Progress on stderr, and the same events in the run record. */
import { appendFileSync } from 'node:fs'
import pc from 'picocolors'
import { reasonOf } from './problem.ts'

/** A step in progress; its lines print when it starts and how it ends. */
export interface Step {
  done(text?: string): void
  fail(text?: string): void
  /** Prints its progress: live on a terminal, otherwise a line at most every ten seconds. */
  progress(text: string): void
}

/** Prints progress on stderr, and appends it as events to the run record. */
export interface Log {
  step(text: string): Step
  info(text: string): void
  /** Something that already is in its desired state. */
  already(text: string): void
  warn(text: string): void
  /** What is being waited for and why it has not happened yet; in the run record only. */
  waiting(fact: string, reason: string): void
  /** An event in the run record only. */
  event(name: string, data: Record<string, unknown>): void
}

interface LogOptions {
  /** The run record to which JSON lines are appended; a function, because its folder may not exist yet. */
  readonly record?: () => string | undefined
  readonly stream?: NodeJS.WriteStream
}

const progressEveryMs = 10_000

/** A log that writes to stderr: ` •` started, ` ✓` done with seconds, ` -` already done, ` ✗` failed. */
export function createLog({ record, stream = process.stderr }: LogOptions = {}): Log {
  let live = false
  const line = (text: string): void => {
    if (live) stream.write('\r\x1b[2K')
    live = false
    stream.write(`${text}\n`)
  }
  let isWritable = true
  const event = (name: string, data: Record<string, unknown>): void => {
    const path = isWritable ? record?.() : undefined
    if (path === undefined) return
    const entry = JSON.stringify({ at: new Date().toISOString(), event: name, ...data })
    try {
      appendFileSync(path, `${entry}\n`, { mode: 0o600 })
    } catch (error) {
      // A full disk must not end a run in the middle of a change.
      isWritable = false
      line(`${pc.yellow(' !')} the rest of this run is not recorded: ${reasonOf(error)}`)
    }
  }
  return {
    event,
    info: (text) => (line(text), event('info', { text })),
    already: (text) => (line(pc.dim(` - ${text}`)), event('already', { text })),
    warn: (text) => (line(`${pc.yellow(' !')} ${text}`), event('warn', { text })),
    waiting: (fact, reason) => event('waiting', { fact, reason }),
    step(text) {
      const started = performance.now()
      let shown = started
      line(`${pc.cyan(' •')} ${text}`)
      event('start', { text })
      const end = (symbol: string, name: string, words: string): void => {
        const seconds = (performance.now() - started) / 1000
        line(`${symbol} ${words} ${pc.dim(`(${seconds.toFixed(1)} s)`)}`)
        event(name, { text: words, seconds: Number(seconds.toFixed(3)) })
      }
      return {
        done: (words = text) => end(pc.green(' ✓'), 'done', words),
        fail: (words = text) => end(pc.red(' ✗'), 'failed', words),
        progress(words) {
          if (stream.isTTY) {
            stream.write(`\r\x1b[2K${`   ${words}`.slice(0, stream.columns)}`)
            live = true
          } else if (performance.now() - shown >= progressEveryMs) {
            shown = performance.now()
            line(`   ${words}`)
          }
        },
      }
    },
  }
}

const noop = (): void => undefined

/** A log that prints nothing, for tests and for reads whose progress is of no interest. */
export const silentLog: Log = {
  step: () => ({ done: noop, fail: noop, progress: noop }),
  info: noop,
  already: noop,
  warn: noop,
  waiting: noop,
  event: noop,
}

/** What a run waits for before its first step, which may change something. */
let beforeSteps: () => Promise<void> = async () => undefined

/** Makes every step of the run begin with `check`, which throws when nothing may be changed. */
export function checkBeforeSteps(check: () => Promise<void>): void {
  beforeSteps = check
}

/** Runs `work` as a step of the log, which is done when it returns and failed when it throws; rethrows. */
export async function inStep<T>(
  log: Pick<Log, 'step'>,
  text: string,
  work: (step: Step) => Promise<T>,
): Promise<T> {
  await beforeSteps()
  const step = log.step(text)
  try {
    const result = await work(step)
    step.done()
    return result
  } catch (error) {
    step.fail()
    throw error
  }
}
