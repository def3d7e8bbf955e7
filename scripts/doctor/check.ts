/** The checks of cluster:doctor: as text and as JSON. */
import type { Problem } from '@talosmith/core'

/** One requirement of cluster:up, and whether it is met. */
export interface Check {
  /** 'this machine', a host, 'factory', 'storage'. */
  readonly area: string
  readonly check: string
  /** `fail`: cluster:up would fail. */
  readonly verdict: 'ok' | 'warning' | 'fail'
  readonly detail: string
  /** The code of the problem, if docs/troubleshooting describes it. */
  readonly code?: string | undefined
  /** How to fix it; only if the verdict is not `ok`. */
  readonly remedy?: string | undefined
}

/** A failed check, from the Problem that would stop cluster:up. */
export function failed(
  area: string,
  check: string,
  { code, message, because, hint }: Problem,
): Check {
  const detail = [message, because].filter((one) => one !== undefined).join(': ')
  return { area, check, verdict: 'fail', code, detail, remedy: hint }
}

/** The checks as JSON; docs/operations.md describes it. */
export function checksAsJson(cluster: string, checks: readonly Check[]): object {
  return {
    cluster,
    checks: checks.map(({ area, check, verdict, detail, ...rest }) => ({
      ...{ area, check, verdict, says: detail },
      ...rest,
    })),
  }
}

/** The checks as text: one line each, with the remedy below it, and a summary. */
export function renderChecks(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ check }) => check.length))
  const areas = [...new Set(checks.map(({ area }) => area))]
  const lines = areas.flatMap((area) => [
    `${area}:`,
    ...checks
      .filter((one) => one.area === area)
      .flatMap(({ check, verdict, code, detail, remedy }) => [
        `  ${verdict.padEnd(7)}  ${check.padEnd(width)}  ${code === undefined ? '' : `${code}: `}${detail.replaceAll('\n', '; ')}`,
        ...(remedy === undefined ? [] : [`           ${''.padEnd(width)}  try: ${remedy}`]),
      ]),
  ])
  const count = (verdict: Check['verdict']): number =>
    checks.filter((one) => one.verdict === verdict).length
  const [failures, warnings] = [count('fail'), count('warning')]
  const withWarnings = warnings === 0 ? '' : `, ${warnings} warning${warnings === 1 ? '' : 's'}`
  return [
    ...lines,
    '',
    failures === 0
      ? `No check failed${withWarnings}.`
      : `${failures} check${failures === 1 ? '' : 's'} failed${withWarnings}. Fix ${failures === 1 ? 'it' : 'them'} before cluster:up.`,
  ].join('\n')
}
