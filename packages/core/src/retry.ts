/** Repeats work that fails temporarily. */
import { pauses } from './wait.ts'

export interface RetryOptions {
  /** After this many failures in a row, the last one is thrown. */
  readonly attempts: number
  /** The pause after this many failures in a row. */
  readonly pauseMs: (failures: number) => number
  /** Whether another attempt may succeed; default: always. */
  readonly isTransient?: (error: unknown) => boolean
  /** Whether the failed attempt made progress; failures are then counted from one again. */
  readonly hasProgressed?: () => boolean
  /** Called before each pause. */
  readonly onRetry?: (error: unknown, pauseMs: number) => void
  readonly signal?: AbortSignal | undefined
}

/** Repeats work that fails temporarily, and returns its result; use waitFor to wait for a state. */
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
