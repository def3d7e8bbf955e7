/** Failures of the Image Factory itself: no answer, and a refusal. */
import { codes, Problem, proxyFor, withoutCredentials } from '@talosmith/core'

/** A refusal, with the HTTP status. */
export class FactoryError extends Problem {
  readonly status: number

  constructor(status: number, problem: Problem) {
    super(problem.code, problem.message, problem)
    this.status = status
  }
}

/** The factory answered, and refused. */
export function factoryError(url: string, status: number, text: string): FactoryError {
  const problem = new Problem('FACTORY_ERROR', `the Image Factory answered ${status} to ${url}`, {
    because: text.trim().slice(0, 500),
    now: 'nothing was changed',
    hint:
      status >= 500 || status === 429
        ? 'run the same command again later'
        : 'check whether TALOS_FACTORY_URL is an Image Factory, and whether it knows the version and the extensions',
  })
  return new FactoryError(status, problem)
}

/** The factory did not answer at all. */
export function factoryUnreachable(url: string, because: string, from = 'this machine'): Problem {
  const { origin } = new URL(url)
  const isThisMachine = from === 'this machine'
  const proxy = isThisMachine ? proxyFor(url) : undefined
  const through =
    proxy === undefined ? '' : ` (asked through the proxy ${withoutCredentials(proxy)})`
  const forHosts = isThisMachine
    ? ''
    : `. If ${from} needs a proxy, set HOST_PROXY; if it has no internet access, set IMAGE_RELAY=true`
  return new Problem(
    codes.factoryUnreachable,
    `the Image Factory at ${origin} does not answer ${from}`,
    {
      because: `${because}${through}`,
      now: 'nothing was changed',
      hint: `curl -sS ${origin}/versions shows whether ${from} reaches it; the setting is TALOS_FACTORY_URL${forHosts}`,
    },
  )
}
