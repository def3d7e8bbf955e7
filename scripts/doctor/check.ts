import type { Problem } from '@talosmith/core'

/** One thing that was looked at before anything is made. */
export interface Check {
  /** 'this machine', a host, 'factory', 'storage'. */
  readonly area: string
  readonly check: string
  /** `missing`: cluster:up would fail. */
  readonly verdict: 'ok' | 'warning' | 'missing'
  readonly says: string
  /** The code of what is wrong, where docs/troubleshooting has it. */
  readonly code?: string | undefined
  /** What to do; only where it is not ok. */
  readonly remedy?: string | undefined
}

/** A Problem that would stop a stage, as a check that found it beforehand. */
export function missing(
  area: string,
  check: string,
  { code, message, because, hint }: Problem,
): Check {
  const says = [message, because].filter((one) => one !== undefined).join(': ')
  return { area, check, verdict: 'missing', code, says, remedy: hint }
}

/** The checks as lines, remedies below those that have one, and what follows from it all. */
export function renderChecks(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ check }) => check.length))
  const areas = [...new Set(checks.map(({ area }) => area))]
  const lines = areas.flatMap((area) => [
    `${area}:`,
    ...checks
      .filter((one) => one.area === area)
      .flatMap(({ check, verdict, code, says, remedy }) => [
        `  ${verdict.padEnd(7)}  ${check.padEnd(width)}  ${code === undefined ? '' : `${code}: `}${says.replaceAll('\n', '; ')}`,
        ...(remedy === undefined ? [] : [`           ${''.padEnd(width)}  try: ${remedy}`]),
      ]),
  ])
  const count = (verdict: Check['verdict']): number =>
    checks.filter((one) => one.verdict === verdict).length
  const [lacking, warnings] = [count('missing'), count('warning')]
  const said = warnings === 0 ? '' : `, ${warnings} warning${warnings === 1 ? '' : 's'}`
  return [
    ...lines,
    '',
    lacking === 0 ? `Nothing is missing${said}.` : `${lacking} missing${said}: mend these first.`,
  ].join('\n')
}
