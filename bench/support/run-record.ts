/** What the record of a run (generated/<cluster>/runs/<time>.jsonl) says about time. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Event {
  readonly at: string
  readonly event: string
  readonly text?: string
  readonly seconds?: number
}

/** A stretch of time, in seconds since 1970. */
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

/** When a run waited for what matches, from its first look on. */
export function waits(events: readonly Event[], facts = /./): Interval[] {
  return events.flatMap(({ at, text = '' }): Interval[] => {
    const [, fact = '', seconds] = /^ {3}waited for (.*): ok \((\d+) s\)$/.exec(text) ?? []
    if (seconds === undefined || !facts.test(fact)) return []
    const to = Date.parse(at) / 1000
    return [[to - Number(seconds), to]]
  })
}

/** When machines booted: from the start of each until it answered, whatever was done meanwhile. */
export function boots(events: readonly Event[]): Interval[] {
  const since = new Map<string, number>()
  const found: Interval[] = []
  for (const { at, event, text = '' } of events) {
    const time = Date.parse(at) / 1000
    const [, started] = /^Start (\S+)$/.exec(text) ?? []
    if (started !== undefined && event === 'done') since.set(started, time)
    const [, answered = ''] = /^ {3}waited for (\S+) to answer: ok/.exec(text) ?? []
    const from = since.get(answered)
    if (from !== undefined) found.push([from, time])
  }
  return found
}

/** When a run was busy with the steps that match. */
export function steps(events: readonly Event[], which: RegExp): Interval[] {
  return events.flatMap(({ at, event, text = '', seconds }): Interval[] => {
    if (event !== 'done' || seconds === undefined || !which.test(text)) return []
    const to = Date.parse(at) / 1000
    return [[to - seconds, to]]
  })
}

/** The time that intervals cover together: what overlaps counts once. */
export function coveredSeconds(intervals: readonly Interval[]): number {
  let total = 0
  let until = 0
  for (const [from, to] of [...intervals].sort(([a], [b]) => a - b)) {
    total += Math.max(0, to - Math.max(from, until))
    until = Math.max(until, to)
  }
  return total
}
