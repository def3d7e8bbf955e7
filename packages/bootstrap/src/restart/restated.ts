import { Problem } from '@talosmith/core'

/** The same problem, with more known about it. */
export function restated(
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
