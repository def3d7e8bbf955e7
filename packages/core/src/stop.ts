import { setMaxListeners } from 'node:events'

/** Nx kills what still runs 5 s after it has sent SIGTERM. */
const unwindMs = 4000
/** One press of Ctrl-C arrives several times: from the terminal, from npx and from Nx. */
const sameStopMs = 1000

const stop = new AbortController()
// Every command under way listens to it.
setMaxListeners(0, stop.signal)

/**
 * Aborts when this run is told to stop, a run being a process: commands under way are ended on every
 * machine, none begins, and waits end, all by throwing. What has to be removed goes in `finally`.
 */
export const stopping: AbortSignal = stop.signal

/** What was under way throws it when the run is told to stop. */
class Stopped extends Error {
  override name = 'Stopped'
}

/**
 * Makes SIGINT and SIGTERM stop the run: `onStop` says so, then what is under way has 4 s to unwind before
 * `exit` is called; a second signal calls it at once.
 */
export function stopOnSignals(onStop: (signal: string) => void, exit: () => void): void {
  let stoppedAt: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (stoppedAt !== undefined) {
        if (performance.now() - stoppedAt > sameStopMs) exit()
        return
      }
      stoppedAt = performance.now()
      onStop(signal)
      // What is no longer waited for may still fail.
      process.on('unhandledRejection', () => undefined)
      setTimeout(exit, unwindMs)
      stop.abort(new Stopped(`stopped by ${signal}`))
    })
}

/** What `work` gives, unless the run is told to stop before. */
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
