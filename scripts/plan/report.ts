/** A plan part by part: as text, as JSON, and as an exit code. */
import {
  commandFor,
  exitCodes,
  renderPlan,
  type Change,
  type Cluster,
  type ExitCode,
  type Problem,
} from '@talosmith/core'

/** The parts of a cluster, in the order of cluster:up. */
export const partNames = ['image', 'vm', 'bootstrap', 'storage'] as const

/** What one part would change, and what blocks it. */
export interface PartPlan {
  readonly part: (typeof partNames)[number]
  readonly changes: readonly Change[]
  /** What would make cluster:up fail. */
  readonly problems: readonly Problem[]
  /** What could not be observed, each with its reason. */
  readonly unknown: readonly string[]
  /** Remarks that need no change. */
  readonly notes: readonly string[]
}

/** 1: a problem blocks the run, or there are no known changes but something could not be observed; 2: changes. */
export function exitCodeOf(parts: readonly PartPlan[]): ExitCode {
  const has = (list: 'changes' | 'problems' | 'unknown'): boolean =>
    parts.some((part) => part[list].length > 0)
  if (has('problems')) return exitCodes.failed
  if (has('changes')) return exitCodes.planHasChanges
  return has('unknown') ? exitCodes.failed : exitCodes.done
}

/** Parts that use the same host have the same problem: it is reported once, and is an unknown of the other parts. */
export function withoutRepeats(parts: readonly PartPlan[]): PartPlan[] {
  const reported = new Set<string>()
  return parts.map((part) => {
    const [problems, unknown] = [[...part.problems], [...part.unknown]]
    for (const problem of part.problems) {
      const key = `${problem.code} ${problem.message}`
      if (reported.has(key)) {
        problems.splice(problems.indexOf(problem), 1)
        unknown.push(`${problem.message} (${problem.code}, above)`)
      }
      reported.add(key)
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

/** The plan as text: part by part, and the command to run. */
export function renderReport(cluster: Pick<Cluster, 'file'>, parts: readonly PartPlan[]): string {
  return [...parts.map(renderPart), '', conclusion(cluster, parts)].join('\n')
}

function renderPart({ part, changes, problems, unknown, notes }: PartPlan): string {
  const isIncomplete = problems.length + unknown.length > 0
  const first =
    changes.length > 0 ? renderPlan(changes) : isIncomplete ? 'no known changes' : 'nothing to do'
  return [
    `${part}: ${first}`,
    ...problems.map(({ code, message, because, hint }) =>
      [
        `  x ${code}: ${message}`,
        ...(because === undefined ? [] : [`      because: ${indented(because)}`]),
        ...(hint === undefined ? [] : [`      try: ${indented(hint)}`]),
      ].join('\n'),
    ),
    ...unknown.map((text) => `  ? unknown: ${indented(text)}`),
    ...notes.map((text) => `  - ${indented(text)}`),
  ].join('\n')
}

function indented(text: string): string {
  return text.trimEnd().replaceAll('\n', '\n        ')
}

function conclusion(cluster: Pick<Cluster, 'file'>, parts: readonly PartPlan[]): string {
  const count = countChanges(parts)
  if (parts.some(({ problems }) => problems.length > 0))
    return 'There are problems (x); a run would stop at the first.'
  if (count > 0) {
    const commands = targetsFor(parts).map((target) => commandFor(cluster, target))
    return `${count} change${count === 1 ? '' : 's'}. To make ${count === 1 ? 'it' : 'them'}: ${commands.join(', then ')}`
  }
  return parts.some(({ unknown }) => unknown.length > 0)
    ? 'No known changes, but some parts could not be observed (?).'
    : 'Nothing to do: everything matches the settings.'
}

const ofUpgrades = /^(?:upgrade-|backup-etcd$|finish-upgrade$|update-config$|drop-channel$)/

/** The targets to run; an upgrade downloads the images that it needs itself. */
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
