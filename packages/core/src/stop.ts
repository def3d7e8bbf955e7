/** Stopping a run on SIGINT and SIGTERM. */
import { setMaxListeners } from 'node:events'

/** Nx sends SIGKILL 5 s after SIGTERM. */
const unwindMs = 4000
/** One press of Ctrl-C arrives several times: from the terminal, from npx and from Nx. */
const sameStopMs = 1000

const stop = new AbortController()
// Every running command listens to it.
setMaxListeners(0, stop.signal)

/**
 * Aborts on SIGINT and SIGTERM: running commands are ended on every machine, no new ones start, and waits
 * end, all by throwing. Clean up in `finally`.
 */
export const stopping: AbortSignal = stop.signal

/** The error with which running work ends when the run is stopped. */
class Stopped extends Error {
  override name = 'Stopped'
}

/** Set by stopOnSignals. */
let stopNow: ((why: string) => void) | undefined

/** Stops the run as SIGTERM does; `why` completes "stopped ...". Does nothing outside of a program. */
export function stopRun(why: string): void {
  stopNow?.(why)
}

/**
 * Makes SIGINT and SIGTERM stop the run: `onStop` reports it ("by SIGINT"), running work has 4 s to clean up, then
 * `exit` is called; a second signal calls it at once.
 */
export function stopOnSignals(onStop: (why: string) => void, exit: () => void): void {
  let stoppedAt: number | undefined
  stopNow = (why) => {
    if (stoppedAt !== undefined) return
    stoppedAt = performance.now()
    onStop(why)
    // Abandoned work may still fail.
    process.on('unhandledRejection', () => undefined)
    setTimeout(exit, unwindMs)
    stop.abort(new Stopped(`stopped ${why}`))
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (stoppedAt === undefined) stopRun(`by ${signal}`)
      else if (performance.now() - stoppedAt > sameStopMs) exit()
    })
}

/** The result of `work`; throws when the run is stopped before. */
export async function untilStopped<T>(work: Promise<T>): Promise<T> {
  let onStop = (): void => undefined
  const stopped = new Promise<never>((_, reject) => {
    onStop = () => reject(stopping.reason as Error)
  })
  if (stopping.aborted) onStop()
  else stopping.addEventListener('abort', onStop, { once: true })
  try {
    return await Promise.race([work, stopped])
  } finally {
    stopping.removeEventListener('abort', onStop)
  }
}
