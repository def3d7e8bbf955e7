/** The times in the record of a run (generated/<cluster>/runs/<time>.jsonl). */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Event {
  readonly at: string
  readonly event: string
  readonly text?: string
  readonly seconds?: number
  readonly fact?: string
  readonly everyMs?: number
}

/** A time interval, in seconds since 1970. */
export type Interval = readonly [from: number, to: number]

/** All runs of a cluster, oldest first. */
export function readRecords(generated: string): Event[][] {
  const folder = join(generated, 'runs')
  return readdirSync(folder)
    .sort()
    .map((name) =>
      readFileSync(join(folder, name), 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Event),
    )
}

/** The times at which a run waited for matching facts, from its first poll on. */
export function waits(events: readonly Event[], facts = /./): Interval[] {
  return events.flatMap(({ at, event, fact = '', seconds = 0 }): Interval[] => {
    if (event !== 'waited' || !facts.test(fact)) return []
    const to = Date.parse(at) / 1000
    return [[to - seconds, to]]
  })
}

/** The seconds lost between polls: half a polling interval of every wait. */
export function pausedSeconds(events: readonly Event[]): number {
  return events
    .map(({ seconds = 0, everyMs = 0 }) => Math.min(everyMs / 1000, seconds) / 2)
    .reduce((sum, one) => sum + one, 0)
}

/** The times at which machines booted: from the start of each until it answered. */
export function boots(events: readonly Event[]): Interval[] {
  const since = new Map<string, number>()
  const found: Interval[] = []
  for (const { at, event, text = '', fact = '' } of events) {
    const time = Date.parse(at) / 1000
    const [, started] = /^Start (\S+)$/.exec(text) ?? []
    if (started !== undefined && event === 'done') since.set(started, time)
    const [, answered = ''] = /^(\S+) to answer$/.exec(fact) ?? []
    const from = since.get(answered)
    if (from !== undefined) found.push([from, time])
  }
  return found
}

/** The times of the steps that match. */
export function steps(events: readonly Event[], which: RegExp): Interval[] {
  return events.flatMap(({ at, event, text = '', seconds }): Interval[] => {
    if (event !== 'done' || seconds === undefined || !which.test(text)) return []
    const to = Date.parse(at) / 1000
    return [[to - seconds, to]]
  })
}

/** The total time of the intervals; overlaps count once. */
export function coveredSeconds(intervals: readonly Interval[]): number {
  let total = 0
  let until = 0
  for (const [from, to] of [...intervals].sort(([a], [b]) => a - b)) {
    total += Math.max(0, to - Math.max(from, until))
    until = Math.max(until, to)
  }
  return total
}
