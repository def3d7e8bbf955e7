/** Shows that work which prints nothing is still going on. */

const beatMs = 15_000

/** Does `work`, and tells after every quarter of a minute for how many seconds it has been going on. */
export async function withHeartbeat<T>(
  work: () => Promise<T>,
  tell: (seconds: number) => void,
  everyMs = beatMs,
): Promise<T> {
  const started = performance.now()
  const beat = (): void => tell(Math.round((performance.now() - started) / 1000))
  // It never keeps a program alive that has nothing else to do.
  const timer = setInterval(beat, everyMs).unref()
  try {
    return await work()
  } finally {
    clearInterval(timer)
  }
}
