import {
  Unrecoverable,
  nearest,
  Problem,
  reasonOf,
  waitFor,
  type Cluster,
  type Log,
} from '@talosmith/core'

const asksMs = 60_000
/** The factory builds an installer when it is first asked for. */
const buildMs = 20 * 60_000

/** Talos versions that the factory offers. */
export async function offeredVersions({ settings }: Cluster, log: Log): Promise<readonly string[]> {
  const text = await ask(`${settings.TALOS_FACTORY_URL}/versions`, log, asksMs)
  return JSON.parse(text) as string[]
}

/** Throws EXTENSION_NOT_OFFERED when the factory lacks one of the asked extensions for a version. */
export async function refuseMissingExtensions(
  { settings }: Cluster,
  version: string,
  log: Log,
): Promise<void> {
  const { TALOS_EXTENSIONS: asked, TALOS_FACTORY_URL: factory } = settings
  if (asked.length === 0) return
  const text = await ask(`${factory}/version/${version}/extensions/official`, log, asksMs)
  const names = (JSON.parse(text) as { name: string }[]).map(({ name }) => name)
  const missing = asked.filter((name) => !names.includes(name))
  if (missing.length === 0) return
  throw new Problem(
    'EXTENSION_NOT_OFFERED',
    `Talos ${version} has no extension ${missing.join(', ')}`,
    {
      because: missing
        .map((name) => {
          const meant = nearest(name, names)
          return meant === undefined ? name : `${name}: the nearest that it has is ${meant}`
        })
        .join('\n'),
      now: 'nothing was changed',
      hint: 'take it out of TALOS_EXTENSIONS, or ask for a Talos version that has it',
    },
  )
}

/** Asks for an installer, so that it is built before a machine waits for it. */
export async function warmInstaller(
  { settings, schematic }: Cluster,
  version: string,
  log: Log,
): Promise<void> {
  const { TALOS_FACTORY_URL: factory } = settings
  const step = log.step(`Have the factory build the installer of Talos ${version}`)
  try {
    await ask(`${factory}/v2/nocloud-installer/${schematic.id}/manifests/${version}`, log, buildMs)
    step.done()
  } catch (error) {
    step.fail()
    throw error
  }
}

async function ask(url: string, log: Log, withinMs: number): Promise<string> {
  return waitFor(
    url,
    async () => {
      const response = await fetch(url, { signal: AbortSignal.timeout(withinMs) }).catch(
        (error: unknown) => {
          throw new Error(reasonOf(error instanceof Error ? (error.cause ?? error) : error))
        },
      )
      const text = await response.text()
      if (response.ok) return text
      const reason = `${response.status} ${text.trim().slice(0, 300)}`
      throw response.status >= 500 || response.status === 429
        ? new Error(reason)
        : new Unrecoverable(reason)
    },
    {
      log,
      withinMs,
      everyMs: 3000,
      code: 'FACTORY_ERROR',
      hint: 'see whether TALOS_FACTORY_URL is an Image Factory that this machine reaches',
    },
  )
}
