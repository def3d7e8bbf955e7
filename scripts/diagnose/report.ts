/** Diagnoses as text and as JSON. */
import { redactShapes, type Cluster } from '@talosmith/core'
import type { Findings } from './find.ts'

/** The diagnoses as JSON; docs/operations.md describes it. */
export function findingsAsJson({ name }: Pick<Cluster, 'name'>, findings: Findings): object {
  return {
    cluster: name,
    diagnoses: findings.diagnoses.map(({ where, evidence, ...rest }) => ({
      ...{ where: where ?? null, ...rest },
      // Lines of logs.
      evidence: evidence.map(redactShapes),
    })),
    unmet: findings.unmet,
  }
}

/** The diagnoses as text: the root cause on top, each with its evidence and its remedy. */
export function renderFindings(
  { name }: Pick<Cluster, 'name'>,
  { diagnoses, unmet }: Findings,
): string {
  const parts = diagnoses.map(({ code, where, cause, evidence, remedy }, index) =>
    [
      `${index + 1}. ${code}${where === undefined ? '' : ` on ${where}`}: ${cause}`,
      ...evidence.map((line) => `     evidence: ${redactShapes(line)}`),
      ...remedy.map((line) => `     ${line.startsWith('#') ? '        ' : 'try:    '}  ${line}`),
    ].join('\n'),
  )
  const open = unmet.map((line) => ` ?  ${line}`)
  if (parts.length === 0 && open.length === 0) return `No problems found in cluster ${name}.`
  const rest = [
    parts.length === 0
      ? 'Unmet conditions without a known cause (a machine that is booting may need a few more minutes):'
      : 'Other unmet conditions, perhaps consequences:',
    ...open,
  ]
  return [...parts, ...(open.length === 0 ? [] : [rest.join('\n')])].join('\n\n')
}
