/** One HTTP request to the Image Factory, with its timeout and its retries. */
import { setTimeout as sleep } from 'node:timers/promises'
import { reasonOf, type Log } from '@talosmith/core'
import { factoryError, factoryUnreachable } from './problems.ts'

/** What a request needs, and how long it may take. */
export interface RequestOptions {
  readonly log: Log
  readonly signal?: AbortSignal
  /** For one response; a factory that has just started fetches its own sources first. */
  readonly timeoutMs?: number
  /** Before the second attempt; three times as long before each further one. */
  readonly retryDelayMs?: number
}

/** Timeout and retry delay of commands that only look, where somebody waits for the answer. */
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
  for (let retries = 0; ; retries++) {
    const result = await requestOnce(url, init, timeoutMs, signal)
    if ('status' in result) {
      const { status, text } = result
      if ((status >= 200 && status < 300) || accepted.includes(status)) return result
      if ((status < 500 && status !== 429) || retries === retryLimit)
        throw factoryError(url, status, text)
    } else if (retries === retryLimit) throw factoryUnreachable(url, result.error)
    const delayMs = retryDelayMs * 3 ** retries
    const reason = 'status' in result ? `answered ${result.status}` : result.error
    log.warn(`${url}: ${reason}; trying again in ${delayMs / 1000} s`)
    await sleep(delayMs, undefined, signal === undefined ? {} : { signal })
  }
}

async function requestOnce(
  url: string,
  init: RequestInit,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<TextResponse | { readonly error: string }> {
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    const either = signal === undefined ? timeout : AbortSignal.any([timeout, signal])
    const response = await fetch(url, { ...init, signal: either })
    return { url, status: response.status, text: await response.text() }
  } catch (error) {
    if (signal?.aborted === true) throw error
    if (timeout.aborted) return { error: `no answer within ${timeoutMs / 1000} s` }
    return { error: fetchReason(error) }
  }
}

/** Why a fetch failed: undici hides it in the cause, and that in a list when there were several addresses. */
export function fetchReason(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
  return reasonOf(first) ?? 'no reason given'
}

/** The JSON of a response. Throws FACTORY_ERROR for anything else, such as a login page. */
export function parseJson({ url, status, text }: TextResponse): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw factoryError(url, status, `not JSON: ${text.slice(0, 200)}`)
  }
}
