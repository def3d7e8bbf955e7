import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from './log.ts'
import { Problem, reasonOf } from './problem.ts'
import { stopping, untilStopped } from './stop.ts'

/** How waits pause between two checks; tests put a quicker one in its place. */
export const pauses = { sleep: (ms: number): Promise<unknown> => sleep(ms) }

/** Thrown by a check whose answer can never get better; ends the wait at once. */
export class Hopeless extends Error {
  override name = 'Hopeless'
}

interface WaitOptions {
  readonly log: Log
  readonly withinMs: number
  /** Pause between two checks; after a check that took longer, up to three times as long. */
  readonly everyMs?: number
  /** What to type when it never comes true. */
  readonly hint?: string
  /** The code of the Problem when it never comes true. */
  readonly code?: string
}

/**
 * Waits until `check` returns, and returns its answer. A check that throws means "not yet", and its
 * message is the reason shown, printed when it changes. A Problem or Hopeless ends the wait at once, and
 * so does a run that is told to stop.
 * `fact` is a noun phrase: it reads in "waiting for ...".
 */
export async function waitFor<T>(
  fact: string,
  check: () => Promise<T>,
  { log, withinMs, everyMs = 2000, hint, code = 'WAITED_IN_VAIN' }: WaitOptions,
): Promise<T> {
  const started = performance.now()
  let reason: string | undefined
  let announced = false
  for (;;) {
    const asked = performance.now()
    try {
      const answer = await untilStopped(check())
      if (announced) {
        log.info(`   waited for ${fact}: ok (${seconds(started)} s)`)
        log.event('waited', { fact, seconds: (performance.now() - started) / 1000, everyMs })
      }
      return answer
    } catch (error) {
      if (error instanceof Problem || stopping.aborted) throw error
      const now = reasonOf(error) ?? 'no reason given'
      if (error instanceof Hopeless)
        throw new Problem(code, `${fact} cannot come true`, { because: now, hint, cause: error })
      if (now !== reason) log.info(`   waiting for ${fact}: ${now}`)
      reason = now
      announced = true
    }
    const leftMs = withinMs - (performance.now() - started)
    if (leftMs < everyMs)
      throw new Problem(code, `gave up after ${seconds(started)} s waiting for ${fact}`, {
        because: reason,
        hint,
      })
    // What answers slowly has enough to do.
    const tookMs = performance.now() - asked
    await untilStopped(pauses.sleep(Math.min(Math.max(everyMs, tookMs), 3 * everyMs, leftMs)))
  }
}

function seconds(since: number): string {
  return Math.round((performance.now() - since) / 1000).toString()
}
