import { pauses } from './wait.ts'

export interface RetryOptions {
  /** How many failures in a row end it; the last one is thrown. */
  readonly attempts: number
  /** How long to pause after so many failures in a row. */
  readonly pauseMs: (failures: number) => number
  /** Whether another attempt may succeed; default: always. */
  readonly isTransient?: (error: unknown) => boolean
  /** Whether the failed attempt brought the work further, so that failures are counted from one again. */
  readonly hasProgressed?: () => boolean
  /** Told before each pause. */
  readonly onRetry?: (error: unknown, pauseMs: number) => void
  readonly signal?: AbortSignal | undefined
}

/** Repeats work that fails for a moment, and returns its result; to wait for a state there is waitFor. */
export async function retry<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { attempts, pauseMs, isTransient = () => true, hasProgressed, onRetry, signal } = options
  for (let failures = 0; ;) {
    try {
      return await work()
    } catch (error) {
      signal?.throwIfAborted()
      failures = hasProgressed?.() === true ? 1 : failures + 1
      if (failures >= attempts || !isTransient(error)) throw error
      const pause = pauseMs(failures)
      onRetry?.(error, pause)
      await pauses.sleep(pause, signal)
    }
  }
}
