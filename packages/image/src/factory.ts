import { setTimeout as sleep } from 'node:timers/promises'
import { nearest, Problem, reasonOf, type Cluster } from '@talosmith/core'

/** How often a request is repeated when the factory or the way to it fails for a moment. */
const attempts = 4
/** The factory's metadata answers within seconds; an image, which it may have to build, takes minutes. */
const timeoutMs = 30_000

/** What the factory knows of a cluster's image. */
export interface Offer {
  readonly versions: readonly string[]
  readonly extensions: readonly string[]
  /** Whether the schematic was posted before. */
  readonly hasSchematic: boolean
}

/** Asks the factory for versions, extensions of the asked version, and whether it knows the schematic. */
export async function observeFactory({ settings, schematic }: Cluster): Promise<Offer> {
  const url = settings.TALOS_FACTORY_URL
  const version = settings.TALOS_VERSION
  const [versions, extensions, known] = await Promise.all([
    request(`${url}/versions`).then(jsonOf<string[]>),
    settings.TALOS_EXTENSIONS.length === 0
      ? []
      : request(`${url}/version/${version}/extensions/official`, {}, [404]).then(
          async (response) =>
            response.status === 404
              ? []
              : (await jsonOf<{ name: string }[]>(response)).map(({ name }) => name),
        ),
    // Factories before v0.9 have no such route: 404 then means "post it", which is harmless.
    request(`${url}/schematics/${schematic.id}`, {}, [404]),
  ])
  return { versions, extensions, hasSchematic: known.ok }
}

/** Posts the schematic; throws SCHEMATIC_ID_DIFFERS when the factory gives it another ID than we do. */
export async function postSchematic({ settings, schematic }: Cluster): Promise<void> {
  const response = await request(`${settings.TALOS_FACTORY_URL}/schematics`, {
    method: 'POST',
    body: schematic.body,
    headers: { 'content-type': 'application/yaml' },
  })
  const { id } = await jsonOf<{ id: string }>(response)
  if (id !== schematic.id)
    throw new Problem('SCHEMATIC_ID_DIFFERS', 'the factory gives this schematic another ID', {
      because: `ours ${schematic.id}, the factory's ${id}`,
      now: 'the schematic is posted; nothing else was changed',
      hint: 'check TALOS_KERNEL_ARGS for characters that YAML quotes, and report this otherwise',
    })
}

/** Throws when the factory doesn't offer the version or an extension, naming the nearest it does. */
export function checkOffer({ settings }: Cluster, { versions, extensions }: Offer): void {
  const { TALOS_VERSION: version, TALOS_FACTORY_URL: url } = settings
  if (!versions.includes(version)) {
    const sameMinor = versions.filter((offered) =>
      offered.startsWith(`${version.split('.').slice(0, 2).join('.')}.`),
    )
    const near = sameMinor.at(-1) ?? versions.findLast((offered) => !offered.includes('-'))
    throw new Problem('TALOS_VERSION_NOT_OFFERED', `${url} does not offer Talos ${version}`, {
      now: 'nothing was changed',
      hint:
        near === undefined
          ? undefined
          : `set TALOS_VERSION=${near}; all versions: curl ${url}/versions`,
    })
  }
  const unknown = settings.TALOS_EXTENSIONS.filter((name) => !extensions.includes(name))
  if (unknown.length === 0) return
  const lines = unknown.map((name) => {
    const meant = nearest(name, extensions)
    return meant === undefined ? name : `${name}; did you mean ${meant}?`
  })
  throw new Problem('EXTENSION_NOT_OFFERED', `Talos ${version} has no such extension at ${url}`, {
    because: lines.join('\n'),
    now: 'nothing was changed',
    hint: `correct TALOS_EXTENSIONS; all names: curl ${url}/version/${version}/extensions/official`,
  })
}

/** A checksum of the compressed image, where the factory offers one; the public one answers 402. */
export async function offeredChecksum(url: string): Promise<string | undefined> {
  const response = await request(`${url}.sha256`, {}, [402, 404])
  return response.ok ? /^[0-9a-f]{64}/.exec(await response.text())?.[0] : undefined
}

async function request(
  url: string,
  init: RequestInit = {},
  accepted: readonly number[] = [],
): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const last = attempt === attempts
    try {
      const response = await fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs) })
      if (response.ok || accepted.includes(response.status)) return response
      const passing = response.status >= 500 || response.status === 429
      if (!passing || last) throw refused(url, response.status, await response.text())
    } catch (error) {
      if (error instanceof Problem) throw error
      if (last) throw unreachable(url, error)
    }
    await sleep(250 * 2 ** attempt)
  }
}

async function jsonOf<T>(response: Response): Promise<T> {
  const text = await response.text()
  try {
    return JSON.parse(text) as T
  } catch {
    throw refused(response.url, response.status, `not JSON: ${text.slice(0, 200)}`)
  }
}

function refused(url: string, status: number, text: string): Problem {
  return new Problem('FACTORY_ERROR', `the Image Factory answered ${status} to ${url}`, {
    because: text.trim(),
    now: 'nothing was changed',
    hint: 'run the same command again later; TALOS_FACTORY_URL names the factory',
  })
}

function unreachable(url: string, error: unknown): Problem {
  const { origin } = new URL(url)
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  return new Problem('FACTORY_UNREACHABLE', `the Image Factory at ${origin} does not answer`, {
    because: reasonOf(cause),
    now: 'nothing was changed',
    hint: `curl -sS ${origin}/versions shows whether this machine reaches it; TALOS_FACTORY_URL names it`,
  })
}
