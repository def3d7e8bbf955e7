/** Adds to a problem that was thrown further down. */
import { Problem } from '@talosmith/core'

/** A copy of a problem with another reason or state. */
export function restateProblem(
  problem: Problem,
  more: { readonly because?: string | undefined; readonly now?: string | undefined },
): Problem {
  const { because, now, hint, cause, exitCode } = problem
  return new Problem(problem.code, problem.message, {
    because,
    now,
    hint,
    cause,
    exitCode,
    ...more,
  })
}
