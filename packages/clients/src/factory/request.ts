/** One HTTP request to the Image Factory, with its timeout and its retries. */
import { codes, Problem, reasonOf, retry, type Log } from '@talosmith/core'
import { fetchThroughProxy } from './fetch.ts'
import { factoryError, factoryUnreachable, isBusy } from './problems.ts'

/** What a request needs, and how long it may take. */
export interface RequestOptions {
  readonly log: Log
  readonly signal?: AbortSignal
  /** For one response; a factory that has just started fetches its own sources first. */
  readonly timeoutMs?: number
  /** Before the second attempt; three times as long before each further one. */
  readonly retryDelayMs?: number
}

/** Timeout and retry delay of read-only commands, whose user waits for the answer. */
export const quickRequest = { timeoutMs: 5000, retryDelayMs: 100 } as const

/** A response that was read to its end. */
export interface TextResponse {
  readonly url: string
  readonly status: number
  readonly text: string
}

const retryLimit = 3

/**
 * Sends a request, again when the factory or the network fails for a moment. Throws FACTORY_ERROR for
 * a status that is neither 2xx nor accepted, FACTORY_UNREACHABLE when no response comes.
 */
export async function request(
  url: string,
  { log, signal, timeoutMs = 60_000, retryDelayMs = 500 }: RequestOptions,
  { init = {}, accepted = [] }: { init?: RequestInit; accepted?: readonly number[] } = {},
): Promise<TextResponse> {
  let isBusyNow = false
  return retry(
    async () => {
      isBusyNow = false
      const { status, text } = await fetchText(url, init, timeoutMs, signal)
      if ((status >= 200 && status < 300) || accepted.includes(status)) return { url, status, text }
      isBusyNow = isBusy(status)
      throw factoryError(url, status, text)
    },
    {
      attempts: retryLimit + 1,
      pauseMs: (failures) => retryDelayMs * 3 ** (failures - 1),
      isTransient: (error) =>
        isBusyNow || (error instanceof Problem && error.code === codes.factoryUnreachable),
      onRetry: (error, pauseMs) =>
        log.warn(`${describe(error)}; trying again in ${pauseMs / 1000} s`),
      signal,
    },
  )
}

function describe(error: unknown): string | undefined {
  return error instanceof Problem ? `${error.message} (${error.because})` : reasonOf(error)
}

async function fetchText(
  url: string,
  init: RequestInit,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Omit<TextResponse, 'url'>> {
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    const either = signal === undefined ? timeout : AbortSignal.any([timeout, signal])
    const response = await fetchThroughProxy(url, { ...init, signal: either })
    return { status: response.status, text: await response.text() }
  } catch (error) {
    if (signal?.aborted === true || error instanceof Problem) throw error
    throw factoryUnreachable(
      url,
      timeout.aborted ? `no answer within ${timeoutMs / 1000} s` : fetchReason(error),
    )
  }
}

/** Why a fetch failed: undici hides it in the cause, and that in a list when there were several addresses. */
export function fetchReason(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
  const reason = reasonOf(first) ?? 'no reason given'
  // https://fetch.spec.whatwg.org/#port-blocking: it was not even tried, so it may be open or closed.
  return reason === 'bad port'
    ? 'its port is reserved for another protocol, and web clients never connect to it; serve it on another port, such as 8080'
    : reason
}

/** The JSON of a response. Throws FACTORY_ERROR for anything else, such as a login page. */
export function parseJson({ url, status, text }: TextResponse): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw factoryError(url, status, `not JSON: ${text.slice(0, 200)}`)
  }
}
