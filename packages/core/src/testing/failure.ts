import type { Problem } from '../problem.ts'

/** The Problem that a promise fails with; a promise that does not fail is the test's failure. */
export async function problemOf(promise: Promise<unknown>): Promise<Problem> {
  return promise.then(
    () => {
      throw new Error('expected a Problem, but nothing failed')
    },
    (problem: Problem) => problem,
  )
}
