/** The Problem that a test expects. */
import type { Problem } from '../problem.ts'

/** The Problem with which a promise rejects; throws when it resolves. */
export async function problemOf(promise: Promise<unknown>): Promise<Problem> {
  return promise.then(
    () => {
      throw new Error('expected a Problem, but nothing failed')
    },
    (problem: Problem) => problem,
  )
}
