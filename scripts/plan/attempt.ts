import { CommandFailed, Problem } from '@talosmith/core'
import type { PartPlan } from './report.ts'

/** What came of a look: a value, a problem that stands in the way, or a reason why nothing was seen. */
export type Attempt<T> =
  | { readonly value: T; readonly problem?: undefined; readonly reason?: undefined }
  | { readonly problem: Problem; readonly value?: undefined; readonly reason?: undefined }
  | { readonly reason: string; readonly value?: undefined; readonly problem?: undefined }

/** Looks, and keeps an expected failure to itself, so that the other parts can be shown; faults go on. */
export async function attempt<T>(look: () => Promise<T> | T): Promise<Attempt<T>> {
  try {
    return { value: await look() }
  } catch (error) {
    if (error instanceof Problem) return { problem: error }
    if (error instanceof CommandFailed) return { reason: error.message }
    throw error
  }
}

/** The plan of a part of which nothing but this is known. */
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
