import {
  commandFor,
  exitCodes,
  renderPlan,
  type Change,
  type Cluster,
  type ExitCode,
  type Problem,
} from '@talosmith/core'

/** The parts of a cluster, in the order in which cluster:up goes through them. */
export const partNames = ['image', 'vm', 'bootstrap', 'storage'] as const

/** What one part would change, and what stands in its way. */
export interface PartPlan {
  readonly part: (typeof partNames)[number]
  readonly changes: readonly Change[]
  /** What would make cluster:up fail. */
  readonly problems: readonly Problem[]
  /** What could not be seen, each with its reason. */
  readonly unknown: readonly string[]
  /** What is worth knowing and needs no change. */
  readonly notes: readonly string[]
}

/** 1: something stands in the way, or nothing is known to differ but not all was seen; 2: changes. */
export function exitCodeOf(parts: readonly PartPlan[]): ExitCode {
  const has = (list: 'changes' | 'problems' | 'unknown'): boolean =>
    parts.some((part) => part[list].length > 0)
  if (has('problems')) return exitCodes.failed
  if (has('changes')) return exitCodes.planHasChanges
  return has('unknown') ? exitCodes.failed : exitCodes.done
}

/** Several parts meet the same host: each problem is said once, by the first; the others know less for it. */
export function withoutRepeats(parts: readonly PartPlan[]): PartPlan[] {
  const said = new Set<string>()
  return parts.map((part) => {
    const [problems, unknown] = [[...part.problems], [...part.unknown]]
    for (const problem of part.problems) {
      const key = `${problem.code} ${problem.message}`
      if (said.has(key)) {
        problems.splice(problems.indexOf(problem), 1)
        unknown.push(`${problem.message} (${problem.code}, above)`)
      }
      said.add(key)
    }
    return { ...part, problems, unknown }
  })
}

/** The plan as JSON; docs/operations.md describes it. */
export function planAsJson(cluster: string, parts: readonly PartPlan[]): object {
  return {
    cluster,
    changes: countChanges(parts),
    parts: parts.map(({ problems, ...part }) => ({
      ...part,
      problems: problems.map(({ code, message, because, hint }) => ({
        code,
        message,
        because: because ?? null,
        hint: hint ?? null,
      })),
    })),
  }
}

/** The plan as a person reads it: part by part, and what to type. */
export function renderReport(cluster: Pick<Cluster, 'file'>, parts: readonly PartPlan[]): string {
  return [...parts.map(renderPart), '', conclusion(cluster, parts)].join('\n')
}

function renderPart({ part, changes, problems, unknown, notes }: PartPlan): string {
  const isSilent = problems.length + unknown.length > 0
  const first =
    changes.length > 0 ? renderPlan(changes) : isSilent ? 'nothing known to do' : 'nothing to do'
  return [
    `${part}: ${first}`,
    ...problems.map(({ code, message, because, hint }) =>
      [
        `  x ${code}: ${message}`,
        ...(because === undefined ? [] : [`      because: ${indented(because)}`]),
        ...(hint === undefined ? [] : [`      try: ${indented(hint)}`]),
      ].join('\n'),
    ),
    ...unknown.map((text) => `  ? not known: ${indented(text)}`),
    ...notes.map((text) => `  - ${indented(text)}`),
  ].join('\n')
}

function indented(text: string): string {
  return text.trimEnd().replaceAll('\n', '\n        ')
}

function conclusion(cluster: Pick<Cluster, 'file'>, parts: readonly PartPlan[]): string {
  const count = countChanges(parts)
  if (parts.some(({ problems }) => problems.length > 0))
    return 'Something stands in the way (x); the run would stop there.'
  if (count > 0) {
    const type = targetsFor(parts).map((target) => commandFor(cluster, target))
    return `${count} change${count === 1 ? '' : 's'}. To make ${count === 1 ? 'it' : 'them'}: ${type.join(', then ')}`
  }
  return parts.some(({ unknown }) => unknown.length > 0)
    ? 'Nothing is known to differ, but not everything could be seen (?).'
    : 'Nothing to do: everything is as the settings ask.'
}

const ofUpgrades = /^(?:upgrade-|backup-etcd$|finish-upgrade$|update-config$|drop-channel$)/

/** What to type; an upgrade fetches the images that it needs itself. */
function targetsFor(parts: readonly PartPlan[]): string[] {
  const changes = parts.flatMap(({ part, changes }) => changes.map(({ kind }) => ({ part, kind })))
  const isUpgrade = changes.some(({ kind }) => /^(?:upgrade-|drop-channel$)/.test(kind))
  const isMore = changes.some(
    ({ part, kind }) => !ofUpgrades.test(kind) && !(isUpgrade && part === 'image'),
  )
  return [...(isMore ? ['cluster:up'] : []), ...(isUpgrade ? ['cluster:upgrade'] : [])]
}

function countChanges(parts: readonly PartPlan[]): number {
  return parts.reduce((sum, { changes }) => sum + changes.length, 0)
}
