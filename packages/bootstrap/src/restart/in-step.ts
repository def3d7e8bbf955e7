import type { Log, Step } from '@talosmith/core'

/** A step of the log around some work. */
export async function inStep<T>(
  log: Log,
  text: string,
  work: (step: Step) => Promise<T>,
): Promise<T> {
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
