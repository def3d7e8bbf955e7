/** Problem: an expected failure with a code, a reason and a hint. */
/** Process exit codes of every script; documented in docs/configuration.md. */
export const exitCodes = {
  done: 0,
  failed: 1,
  planHasChanges: 2,
  wrongOption: 64,
  wrongSetting: 78,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

interface ProblemDetails {
  /** Why it happened, usually the error output of a program. */
  readonly because?: string | undefined
  /** What was changed and what was not, if it happened during a change. */
  readonly now?: string | undefined
  /** What to type or change to fix it. */
  readonly hint?: string | undefined
  readonly cause?: unknown
  readonly exitCode?: ExitCode
}

/**
 * An expected failure, explained to the user. `code` is permanent and has a heading in
 * docs/troubleshooting; the texts must not contain secrets.
 */
export class Problem extends Error {
  readonly code: string
  readonly because: string | undefined
  readonly now: string | undefined
  readonly hint: string | undefined
  readonly exitCode: ExitCode

  constructor(code: string, message: string, details: ProblemDetails = {}) {
    super(message, { cause: details.cause })
    this.name = 'Problem'
    this.code = code
    this.because = details.because ?? reasonOf(details.cause)
    this.now = details.now
    this.hint = details.hint
    this.exitCode = details.exitCode ?? exitCodes.failed
  }
}

/** The message of any thrown value, without a stack. */
export function reasonOf(cause: unknown): string | undefined {
  if (cause === undefined || cause === null) return undefined
  return cause instanceof Error ? cause.message : String(cause)
}

/** A problem as printed: code and message, then the lines because, now and try; `now` is for one that has no state. */
export function renderProblem(problem: Problem, now?: string): string {
  const part = (label: string, text: string | undefined): string[] =>
    text === undefined || text === ''
      ? []
      : [`  ${label}: ${text.trimEnd().replaceAll('\n', '\n    ')}`.replace(/ +$/m, '')]
  return [
    `${problem.code}: ${problem.message}`,
    ...part('because', problem.because),
    ...part('now', problem.now ?? now),
    ...part('try', problem.hint),
  ].join('\n')
}
