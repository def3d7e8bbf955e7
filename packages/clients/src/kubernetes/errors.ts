/** How a request to the Kubernetes API fails, as data. */
import { codes, commandFor, Problem, type Cluster } from '@talosmith/core'

/** A refusal that waiting cannot fix: another CA, another cluster, no rights. */
export class NotOurApi extends Error {
  override name = 'NotOurApi'
  /** 401 where the API does not accept our certificate; undefined: we do not accept its own. */
  readonly status: number | undefined
  constructor(message: string, status?: number) {
    super(message)
    this.status = status
  }
}

/** The API answered, and refused. */
export class ApiRefusal extends Error {
  override name = 'ApiRefusal'
  readonly status: number
  /** The reason of the API's Status object: 'NotFound', 'Conflict'. */
  readonly reason: string | undefined
  /** The message alone, without the status. */
  readonly detail: string
  constructor(status: number, detail: string, reason?: string) {
    super(`HTTP ${status}: ${detail}`)
    this.status = status
    this.reason = reason
    this.detail = detail
  }
}

/** /readyz answered with the names of the checks that failed. */
export class ApiNotReady extends ApiRefusal {
  override name = 'ApiNotReady'
  constructor(status: number, failed: readonly string[]) {
    super(status, failed.join(', '))
    this.message = `not ready: ${this.detail}`
  }
}

/** No answer: nothing listens, nothing is there, or the connection ended before the answer did. */
export class ApiUnreachable extends Error {
  override name = 'ApiUnreachable'
  /** 'timeout', 'incomplete', or what the system calls it: 'ECONNREFUSED'. */
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** The status with which the API refused; undefined: `error` is no refusal. Looks below a Problem. */
export function statusOf(error: unknown): number | undefined {
  if (error instanceof ApiRefusal || error instanceof NotOurApi) return error.status
  return error instanceof Problem ? statusOf(error.cause) : undefined
}

/** Statuses of an API server that is there and cannot serve now: starting, ending, overloaded. */
const unavailable = [429, 502, 503, 504]

/** The failure of a request as a Problem; anything else as it is. */
export function apiProblem(cluster: Cluster, error: unknown): unknown {
  const details = { cause: error, hint: commandFor(cluster, 'bootstrap:health') }
  const status = statusOf(error)
  if (error instanceof NotOurApi)
    return new Problem(
      codes.apiNotOurs,
      `the Kubernetes API at ${cluster.endpoint} is another cluster's, or rejects the kubeconfig`,
      { cause: error, hint: `fetch a new kubeconfig: ${commandFor(cluster, 'bootstrap:start')}` },
    )
  if (error instanceof ApiUnreachable || unavailable.includes(status ?? 0))
    return new Problem(
      codes.kubernetesUnreachable,
      `the Kubernetes API at ${cluster.endpoint} does not answer`,
      details,
    )
  if (error instanceof ApiRefusal)
    return new Problem(
      codes.kubernetesRefused,
      `the Kubernetes API at ${cluster.endpoint} refused a request`,
      details,
    )
  return error
}
