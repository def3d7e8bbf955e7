/** What the Image Factory offers: Talos versions, and the extensions of each. */
import { minorOf, nearest, Problem, type Cluster } from '@talosmith/core'
import semver from 'semver'
import { factoryError } from './problems.ts'
import { parseJson, request, type RequestOptions, type TextResponse } from './request.ts'
import { hasSchematic } from './schematics.ts'

/** What the factory has for a cluster's image. */
export interface Offer {
  readonly versions: readonly string[]
  /** Names of the version's extensions; empty when the settings want none. */
  readonly extensions: readonly string[]
  /** Whether the schematic was posted before. */
  readonly hasSchematic: boolean
}

/** Asks for versions, extensions of the desired version, and whether the schematic is known. */
export async function observeFactory(cluster: Cluster, options: RequestOptions): Promise<Offer> {
  const { TALOS_VERSION: version, TALOS_EXTENSIONS: desired } = cluster.settings
  const [versions, extensions, isKnown] = await Promise.all([
    listVersions(cluster, options),
    desired.length === 0 ? [] : listExtensions(cluster, version, options),
    hasSchematic(cluster, options),
  ])
  return { versions, extensions, hasSchematic: isKnown }
}

/** The Talos versions that the factory offers. */
export async function listVersions(
  { settings }: Cluster,
  options: RequestOptions,
): Promise<readonly string[]> {
  return listOf(await request(`${settings.TALOS_FACTORY_URL}/versions`, options))
}

/** The names of a version's official extensions; none for a version that the factory does not have. */
export async function listExtensions(
  { settings }: Cluster,
  version: string,
  options: RequestOptions,
): Promise<readonly string[]> {
  const url = extensionsUrl(settings.TALOS_FACTORY_URL, version)
  // An unknown version (404) is what the list of versions tells better.
  const response = await request(url, options, { accepted: [404] })
  return response.status === 404 ? [] : listOf(response)
}

function extensionsUrl(factory: string, version: string): string {
  return `${factory}/version/${version}/extensions/official`
}

/** A list of names, or of things that have one. */
function listOf(response: TextResponse): string[] {
  const list = parseJson(response)
  if (!Array.isArray(list)) throw factoryError(response.url, response.status, 'not a list')
  return list.map((item: unknown) =>
    typeof item === 'object' && item !== null && 'name' in item ? String(item.name) : String(item),
  )
}

/** Throws when the factory lacks the desired version or an extension, naming the nearest that it has. */
export function checkOffer({ settings }: Cluster, offer: Offer): void {
  const { TALOS_VERSION: version, TALOS_FACTORY_URL: factory } = settings
  refuseMissingVersion(version, offer.versions, factory)
  refuseMissingExtensions(settings, version, offer.extensions)
}

/** Throws TALOS_VERSION_NOT_OFFERED, with the nearest version that the factory at this URL has. */
export function refuseMissingVersion(
  version: string,
  offered: readonly string[],
  factory: string,
): void {
  if (offered.includes(version)) return
  const near = nearestVersion(version, offered)
  throw new Problem('TALOS_VERSION_NOT_OFFERED', `${factory} does not offer Talos ${version}`, {
    now: 'nothing was changed',
    hint: `${near === undefined ? '' : `set TALOS_VERSION=${near}; `}all versions: curl ${factory}/versions`,
  })
}

/** Throws EXTENSION_NOT_OFFERED when a version lacks desired extensions: all of them, with what was meant. */
export function refuseMissingExtensions(
  { TALOS_EXTENSIONS: desired, TALOS_FACTORY_URL: factory }: Cluster['settings'],
  version: string,
  offered: readonly string[],
): void {
  const missing = desired.filter(
    (name) => !offered.includes(name) && !offered.includes(aliases.get(name) ?? name),
  )
  if (missing.length === 0) return
  const lines = missing.map((name) => {
    const meant = nearestExtension(name, offered)
    return meant === undefined ? name : `${name}: did you mean ${meant}?`
  })
  throw new Problem(
    'EXTENSION_NOT_OFFERED',
    `Talos ${version} has no extension ${missing.join(', ')}`,
    {
      because: lines.join('\n'),
      now: 'nothing was changed',
      hint: `correct TALOS_EXTENSIONS, or choose a Talos version that has them; all names: curl ${extensionsUrl(factory, version)}`,
    },
  )
}

/**
 * Former and misspelt names that the factory still takes for another extension
 * (image-factory internal/profile/profile.go, extensionNameAlias).
 */
const aliases: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'v4l-uvc': 'v4l-uvc-drivers',
    'usb-modem': 'usb-modem-drivers',
    gasket: 'gasket-driver',
    'talos-vmtoolsd': 'vmtoolsd-guest-agent',
    'xe-guest-utilities': 'xen-guest-agent',
    'nvidia-container-toolkit': 'nvidia-container-toolkit-lts',
    'nvidia-open-gpu-kernel-modules': 'nvidia-open-gpu-kernel-modules-lts',
    'nonfree-kmod-nvidia': 'nonfree-kmod-nvidia-lts',
    'nvidia-fabricmanager': 'nvidia-fabric-manager-lts',
    'i915-ucode': 'i915',
    'amdgpu-firmware': 'amdgpu',
  }).map(([alias, name]) => [`siderolabs/${alias}`, `siderolabs/${name}`]),
)

/** The extension that was probably meant: the owner is what is forgotten or misspelt most. */
function nearestExtension(name: string, offered: readonly string[]): string | undefined {
  const nameOf = (one: string): string => one.slice(one.indexOf('/') + 1)
  const sameName = offered.find((one) => nameOf(one) === nameOf(name))
  if (sameName !== undefined) return sameName
  const near = nearest(nameOf(name), offered.map(nameOf))
  return nearest(name, offered) ?? offered.find((one) => nameOf(one) === near)
}

/** The newest of the same minor, else the newest release before it, else the oldest release. */
export function nearestVersion(version: string, versions: readonly string[]): string | undefined {
  const sorted = versions.filter((one) => semver.valid(one) !== null).sort(semver.compare)
  const releases = sorted.filter((one) => semver.prerelease(one) === null)
  const isSameMinor = (one: string): boolean => minorOf(one) === minorOf(version)
  return (
    releases.findLast(isSameMinor) ??
    sorted.findLast(isSameMinor) ??
    releases.findLast((one) => semver.lt(one, version)) ??
    releases[0]
  )
}
