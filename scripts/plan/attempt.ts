/** Observations that may fail, so that one failing part of a plan does not hide the others. */
import { CommandFailed, Problem } from '@talosmith/core'
import type { PartPlan } from './report.ts'

/** The result of an observation: a value, a problem that blocks the run, or the reason why nothing is known. */
export type Attempt<T> =
  | { readonly value: T; readonly problem?: undefined; readonly reason?: undefined }
  | { readonly problem: Problem; readonly value?: undefined; readonly reason?: undefined }
  | { readonly reason: string; readonly value?: undefined; readonly problem?: undefined }

/** Runs an observation and returns an expected failure instead of throwing it; bugs are thrown. */
export async function attempt<T>(observe: () => Promise<T> | T): Promise<Attempt<T>> {
  try {
    return { value: await observe() }
  } catch (error) {
    if (error instanceof Problem) return { problem: error }
    if (error instanceof CommandFailed) return { reason: error.message }
    throw error
  }
}

/** The plan of a part, from its observations and what else is known. */
export function partOf(
  part: PartPlan['part'],
  attempts: readonly Attempt<unknown>[],
  more: Partial<Omit<PartPlan, 'part'>> = {},
): PartPlan {
  return {
    part,
    changes: more.changes ?? [],
    problems: [...attempts.flatMap(({ problem }) => problem ?? []), ...(more.problems ?? [])],
    unknown: [...attempts.flatMap(({ reason }) => reason ?? []), ...(more.unknown ?? [])],
    notes: more.notes ?? [],
  }
}
