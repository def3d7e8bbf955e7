import { setTimeout as sleep } from 'node:timers/promises'
import { codes, Problem, reasonOf, type Cluster, type Log } from '@talosmith/core'

/** What the factory knows of a cluster's image. */
export interface Offer {
  readonly versions: readonly string[]
  /** Names of the version's extensions; empty when none is asked for. */
  readonly extensions: readonly string[]
  /** Whether the schematic was posted before. */
  readonly hasSchematic: boolean
}

/** How patiently to ask. */
export interface AskOptions {
  readonly log: Log
  readonly signal?: AbortSignal
  /** For one answer; a factory that has just started fetches its own sources first. */
  readonly timeoutMs?: number
  /** Before the second attempt; three times as long before each further one. */
  readonly firstPauseMs?: number
}

interface Answer {
  readonly status: number
  readonly text: string
}

const attempts = 4

/** Asks the factory for versions, extensions of the asked version, and whether it knows the schematic. */
export async function observeFactory(
  { settings, schematic }: Cluster,
  options: AskOptions,
): Promise<Offer> {
  const factory = settings.TALOS_FACTORY_URL
  const extensionsUrl = `${factory}/version/${settings.TALOS_VERSION}/extensions/official`
  const [versions, extensions, known] = await Promise.all([
    ask(`${factory}/versions`, options).then((answer) => listOf(answer, `${factory}/versions`)),
    settings.TALOS_EXTENSIONS.length === 0
      ? []
      : // 404 says that the version is unknown, which the list of versions says better.
        ask(extensionsUrl, options, { accepted: [404] }).then((answer) =>
          answer.status === 404 ? [] : listOf(answer, extensionsUrl),
        ),
    // Factories before v0.9 have no such route: 404 then means "post it", which is harmless.
    ask(`${factory}/schematics/${schematic.id}`, options, { accepted: [404, 405] }),
  ])
  return { versions, extensions, hasSchematic: known.status === 200 }
}

/** Posts the schematic; throws SCHEMATIC_ID_DIFFERS when the factory gives it another ID than we do. */
export async function postSchematic(
  { settings, schematic }: Cluster,
  options: AskOptions,
): Promise<void> {
  const url = `${settings.TALOS_FACTORY_URL}/schematics`
  const answer = await ask(url, options, {
    init: {
      method: 'POST',
      body: schematic.body,
      headers: { 'content-type': 'application/yaml' },
    },
  })
  const { id } = jsonOf(answer, url) as { id?: unknown }
  if (id === schematic.id) return
  throw new Problem('SCHEMATIC_ID_DIFFERS', 'the factory gives this schematic another ID', {
    because: `ours ${schematic.id}, the factory's ${String(id)}`,
    now: 'the schematic is posted; nothing else was changed',
    hint: 'an Enterprise factory adds an owner, which changes the ID: use one that does not; otherwise look for odd characters in TALOS_KERNEL_ARGS',
  })
}

const buildMs = 1_200_000

/** Asks for the installer's manifest: the factory builds an installer when it is first asked for. */
export async function warmInstaller(
  { settings, schematic }: Cluster,
  options: AskOptions,
): Promise<void> {
  const { TALOS_FACTORY_URL: factory, TALOS_VERSION: version } = settings
  await ask(`${factory}/v2/nocloud-installer/${schematic.id}/manifests/${version}`, {
    timeoutMs: buildMs,
    ...options,
  })
}

/** The checksum of a compressed image where the factory offers one, else ''; the public one answers 402. */
export async function offeredChecksum(url: string, options: AskOptions): Promise<string> {
  const answer = await ask(`${url}.sha256`, options, { accepted: [400, 402, 403, 404, 405] })
  return (answer.status === 200 && /^[0-9a-f]{64}(?=\s|$)/.exec(answer.text)?.[0]) || ''
}

/** One request, repeated when the factory or the way to it fails for a moment. */
async function ask(
  url: string,
  { log, signal, timeoutMs = 60_000, firstPauseMs = 500 }: AskOptions,
  { init = {}, accepted = [] }: { init?: RequestInit; accepted?: readonly number[] } = {},
): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const failed = await askOnce(url, init, timeoutMs, signal)
    if ('status' in failed) {
      const { status } = failed
      if ((status >= 200 && status < 300) || accepted.includes(status)) return failed
      if ((status < 500 && status !== 429) || attempt === attempts)
        throw factoryError(url, status, failed.text)
    } else if (attempt === attempts) throw factoryUnreachable(url, failed.error)
    const pauseMs = firstPauseMs * 3 ** (attempt - 1)
    const reason = 'status' in failed ? `answered ${failed.status}` : failed.error
    log.warn(`${url}: ${reason}; asking again in ${pauseMs / 1000} s`)
    await sleep(pauseMs, undefined, signal === undefined ? {} : { signal })
  }
}

async function askOnce(
  url: string,
  init: RequestInit,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Answer | { readonly error: string }> {
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    const either = signal === undefined ? timeout : AbortSignal.any([timeout, signal])
    const response = await fetch(url, { ...init, signal: either })
    return { status: response.status, text: await response.text() }
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

function jsonOf({ status, text }: Answer, url: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw factoryError(url, status, `not JSON: ${text.slice(0, 200)}`)
  }
}

/** A list of names, or of things that have one. */
function listOf(answer: Answer, url: string): string[] {
  const list = jsonOf(answer, url)
  if (!Array.isArray(list)) throw factoryError(url, answer.status, 'not a list')
  return list.map((item: unknown) =>
    typeof item === 'object' && item !== null && 'name' in item ? String(item.name) : String(item),
  )
}

/** The factory answered, and refused. */
export function factoryError(url: string, status: number, text: string): Problem {
  return new Problem('FACTORY_ERROR', `the Image Factory answered ${status} to ${url}`, {
    because: text.trim().slice(0, 500),
    now: 'nothing was changed',
    hint:
      status >= 500 || status === 429
        ? 'run the same command again later'
        : 'see whether TALOS_FACTORY_URL is an Image Factory, and whether it knows the version and the extensions',
  })
}

/** The factory did not answer at all. */
export function factoryUnreachable(url: string, because: string, from = 'this machine'): Problem {
  const { origin } = new URL(url)
  return new Problem(
    codes.factoryUnreachable,
    `the Image Factory at ${origin} does not answer ${from}`,
    {
      because,
      now: 'nothing was changed',
      hint: `curl -sS ${origin}/versions shows whether ${from} reaches it; TALOS_FACTORY_URL names it${from === 'this machine' ? '' : '. When only the host has no way out, set IMAGE_RELAY=true'}`,
    },
  )
}
