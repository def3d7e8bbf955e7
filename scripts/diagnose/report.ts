import type { Cluster } from '@talosmith/core'
import type { Findings } from './find.ts'

/** The diagnoses as JSON; docs/operations.md describes it. */
export function findingsAsJson({ name }: Pick<Cluster, 'name'>, findings: Findings): object {
  return {
    cluster: name,
    diagnoses: findings.diagnoses.map(({ where, ...rest }) => ({ where: where ?? null, ...rest })),
    unmet: findings.unmet,
  }
}

/** The diagnoses for people: the first cause on top, each with what shows it and what to type. */
export function renderFindings(
  { name }: Pick<Cluster, 'name'>,
  { diagnoses, unmet }: Findings,
): string {
  const parts = diagnoses.map(({ code, where, cause, evidence, remedy }, index) =>
    [
      `${index + 1}. ${code}${where === undefined ? '' : ` on ${where}`}: ${cause}`,
      ...evidence.map((line) => `     seen: ${line}`),
      ...remedy.map((line) => `     ${line.startsWith('#') ? '    ' : 'try:'} ${line}`),
    ].join('\n'),
  )
  const open = unmet.map((line) => ` ?  ${line}`)
  if (parts.length === 0 && open.length === 0) return `Nothing is wrong with cluster ${name}.`
  const rest = [
    parts.length === 0
      ? 'Nothing known explains this; a machine that boots may need some more minutes:'
      : 'Not explained, and perhaps a consequence:',
    ...open,
  ]
  return [...parts, ...(open.length === 0 ? [] : [rest.join('\n')])].join('\n\n')
}
