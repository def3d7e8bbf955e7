import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from './log.ts'
import { Problem, reasonOf } from './problem.ts'
import { stopping, untilStopped } from './stop.ts'

/** How waits and retries pause between two checks; tests put a quicker one in its place. */
export const pauses = {
  sleep: (ms: number, signal?: AbortSignal): Promise<unknown> =>
    sleep(ms, undefined, signal === undefined ? {} : { signal }),
}

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
  let spentMs = 0
  let reason: string | undefined
  let announced = false
  for (;;) {
    const asked = performance.now()
    try {
      const answer = await untilStopped(check())
      spentMs += performance.now() - asked
      if (announced) {
        log.info(`   waited for ${fact}: ok (${seconds(spentMs)} s)`)
        log.event('waited', { fact, seconds: spentMs / 1000, everyMs })
      }
      return answer
    } catch (error) {
      if (error instanceof Problem || stopping.aborted) throw error
      const now = reasonOf(error) ?? 'no reason given'
      if (error instanceof Hopeless)
        throw new Problem(code, `${fact} cannot come true`, { because: now, hint, cause: error })
      if (now !== reason) {
        log.info(`   waiting for ${fact}: ${now}`)
        log.waiting(fact, now)
      }
      reason = now
      announced = true
    }
    const tookMs = performance.now() - asked
    spentMs += tookMs
    const leftMs = withinMs - spentMs
    if (leftMs < everyMs)
      throw new Problem(code, `gave up after ${seconds(spentMs)} s waiting for ${fact}`, {
        because: reason,
        hint,
      })
    // What answers slowly has enough to do.
    const pauseMs = Math.min(Math.max(everyMs, tookMs), 3 * everyMs, leftMs)
    const paused = performance.now()
    await untilStopped(pauses.sleep(pauseMs))
    // A pause that tests have shortened counts in full, so that no wait of theirs outlasts its limit.
    spentMs += Math.max(pauseMs, performance.now() - paused)
  }
}

function seconds(ms: number): string {
  return Math.round(ms / 1000).toString()
}
