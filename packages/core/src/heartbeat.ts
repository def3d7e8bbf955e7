/** Shows that work which prints nothing is still going on. */

const beatMs = 15_000

/** Does `work`, and tells after every quarter of a minute for how many seconds it has been going on. */
export async function withHeartbeat<T>(
  work: () => Promise<T>,
  tell: (seconds: number) => void,
  everyMs = beatMs,
): Promise<T> {
  const started = performance.now()
  const timer = setInterval(() => tell(Math.round((performance.now() - started) / 1000)), everyMs)
  try {
    return await work()
  } finally {
    clearInterval(timer)
  }
}
