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

/**
 * Whether a status means that the same request may succeed later: 408 Request Timeout and 429 Too Many Requests of a
 * proxy or a registry, and the server's own errors (RFC 9110, section 15; RFC 6585, section 4).
 */
export function isBusy(status: number): boolean {
  return status >= 500 || status === 408 || status === 429
}

/** The factory answered, and refused. */
export function factoryError(url: string, status: number, text: string): FactoryError {
  const problem = new Problem('FACTORY_ERROR', `the Image Factory answered ${status} to ${url}`, {
    because: text.trim().slice(0, 500),
    now: 'nothing was changed',
    hint: isBusy(status)
      ? 'run the same command again later'
      : 'check whether TALOS_FACTORY_URL is an Image Factory, and whether it knows the version and the extensions',
  })
  return new FactoryError(status, problem)
}

/** The factory did not answer at all, to this machine or to the host `from`, perhaps through a proxy. */
export function factoryUnreachable(
  url: string,
  because: string,
  { from, proxy }: { readonly from?: string; readonly proxy?: string | undefined } = {
    proxy: proxyFor(url),
  },
): Problem {
  const { origin } = new URL(url)
  const where = from ?? 'this machine'
  const through =
    proxy === undefined ? '' : ` (asked through the proxy ${withoutCredentials(proxy)})`
  const forHosts =
    from === undefined
      ? ''
      : `. If ${where} needs a proxy, set HOST_PROXY; if it has no internet access, set IMAGE_RELAY=true`
  return new Problem(
    codes.factoryUnreachable,
    `the Image Factory at ${origin} does not answer ${where}`,
    {
      because: `${because}${through}`,
      now: 'nothing was changed',
      hint: `curl -sS ${origin}/versions shows whether ${where} reaches it; the setting is TALOS_FACTORY_URL${forHosts}`,
    },
  )
}

/** A proxy of the environment that cannot be used; its value may have a password and is not shown. */
export function proxyInvalid(url: string, because: string): Problem {
  const name = url.startsWith('https:') ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  return new Problem(
    'PROXY_INVALID',
    `${name} of the environment is not a proxy that can be used`,
    {
      because,
      now: 'nothing was changed',
      hint: `set ${name}=http://<host>:<port>, or http://<user>:<password>@<host>:<port> with special characters as %23 (#), %25 (%), %40 (@); SOCKS proxies are not supported; or exempt ${new URL(url).hostname} by NO_PROXY`,
    },
  )
}
