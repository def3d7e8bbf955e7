/** Waits: checks repeated until one passes, one is unrecoverable, or the time is up. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from './log.ts'
import { Problem, reasonOf } from './problem.ts'
import { stopping, untilStopped } from './stop.ts'

/** A minute, in milliseconds. */
export const minute = 60_000

/** How waits and retries pause between two attempts; tests replace it with a shorter one. */
export const pauses = {
  sleep: (ms: number, signal?: AbortSignal): Promise<unknown> =>
    sleep(ms, undefined, signal === undefined ? {} : { signal }),
}

/** Thrown by a check that will never pass, for example because of a wrong CA; ends the wait at once. */
export class Unrecoverable extends Error {
  override name = 'Unrecoverable'
}

interface WaitOptions {
  readonly log: Log
  readonly withinMs: number
  /** Asked after each check that failed: whether something has moved since, so that the time starts again. */
  readonly hasMoved?: () => boolean
  /** Pause between two checks; longer after a slow check: as long as it took, at most three times this. */
  readonly everyMs?: number
  /** What to type when the wait fails. */
  readonly hint?: string
  /** The code of the Problem when the wait fails. */
  readonly code?: string
  /** The message of the Problem when a check throws Unrecoverable, such as 'home-cp1 rejected its config'. */
  readonly failure?: string
}

/**
 * Repeats `check` until it returns, and returns its result. A check that throws means "not yet"; the error
 * message is the reason, which is logged whenever it changes. A Problem or Unrecoverable ends the wait at
 * once, and so does SIGINT or SIGTERM.
 * `fact` is a noun phrase: it is printed as "waiting for ...".
 */
export async function waitFor<T>(
  fact: string,
  check: () => Promise<T>,
  {
    log,
    withinMs,
    hasMoved = () => false,
    everyMs = 2000,
    hint,
    code = 'WAIT_TIMED_OUT',
    failure = `gave up waiting for ${fact}`,
  }: WaitOptions,
): Promise<T> {
  let spentMs = 0
  /** When something moved for the last time, on the clock of spentMs. */
  let movedMs = 0
  let reason: string | undefined
  let announced = false
  for (;;) {
    const started = performance.now()
    try {
      const result = await untilStopped(check())
      spentMs += performance.now() - started
      if (announced) {
        log.info(`   waited for ${fact}: ok (${seconds(spentMs)} s)`)
        log.event('waited', { fact, seconds: spentMs / 1000, everyMs })
      }
      return result
    } catch (error) {
      if (error instanceof Problem || stopping.aborted) throw error
      const now = reasonOf(error) ?? 'no reason given'
      if (error instanceof Unrecoverable)
        throw new Problem(code, failure, { because: now, hint, cause: error })
      if (now !== reason) {
        log.info(`   waiting for ${fact}: ${now}`)
        log.waiting(fact, now)
      }
      reason = now
      announced = true
    }
    const tookMs = performance.now() - started
    spentMs += tookMs
    if (hasMoved()) movedMs = spentMs
    const leftMs = withinMs - (spentMs - movedMs)
    if (leftMs < everyMs)
      throw new Problem(code, `gave up after ${seconds(spentMs)} s waiting for ${fact}`, {
        because: reason,
        hint,
      })
    // What answers slowly may be overloaded.
    const pauseMs = Math.min(Math.max(everyMs, tookMs), 3 * everyMs, leftMs)
    const paused = performance.now()
    await untilStopped(pauses.sleep(pauseMs))
    // A pause that tests have shortened counts in full, so that their waits time out as early.
    spentMs += Math.max(pauseMs, performance.now() - paused)
  }
}

function seconds(ms: number): string {
  return Math.round(ms / 1000).toString()
}
