/** Compares a machine's config with the desired one, and keeps the versions that it runs. */
import { isDeepStrictEqual } from 'node:util'
import { parseAllDocuments, type Document } from 'yaml'
import { textOf } from './config-documents.ts'

/** A version that a running machine keeps although the settings name another. */
export interface HeldVersion {
  /** 'Kubernetes', 'the installer image'. */
  readonly what: string
  readonly running: string
  readonly desired: string
}

/** The config to send to a machine that is already configured. */
export interface ConfigUpdate {
  /** Undefined: the machine's config is up to date. */
  readonly text: string | undefined
  readonly held: readonly HeldVersion[]
}

/** The location of a field: the kind of its document (undefined: the base document) and its path. */
interface Place {
  readonly kind?: string
  readonly path: readonly string[]
}

const installer = 'the installer image'

/**
 * Fields that set the versions a machine runs, at each path they may have: in the base document up to
 * Talos 1.13, in separate documents later (config/generate/kubernetes.go). Sending a new image to all machines
 * at once would restart every API server at the same moment; changing versions is an upgrade, one machine at a time.
 */
const versionFields: readonly { readonly what: string; readonly places: readonly Place[] }[] = [
  {
    what: installer,
    places: [
      { path: ['machine', 'install', 'image'] },
      { kind: 'UnattendedInstallConfig', path: ['installer', 'image'] },
    ],
  },
  ...[
    { kind: 'KubeletConfig', before: ['machine', 'kubelet'] },
    { kind: 'KubeAPIServerConfig', before: ['cluster', 'apiServer'] },
    { kind: 'KubeControllerManagerConfig', before: ['cluster', 'controllerManager'] },
    { kind: 'KubeSchedulerConfig', before: ['cluster', 'scheduler'] },
    { kind: 'KubeProxyConfig', before: ['cluster', 'proxy'] },
  ].map(({ kind, before }) => ({
    what: 'Kubernetes',
    places: [{ path: [...before, 'image'] }, { kind, path: ['image'] }],
  })),
]

/**
 * Compares a machine's config with the desired one; order of keys, comments and documents do not matter.
 * After an upgrade the installer image is updated as well: it names what the machine already runs.
 */
export function planConfigUpdate(
  desired: string,
  current: string,
  { movesInstaller = false } = {},
): ConfigUpdate {
  if (desired === current) return { text: undefined, held: [] }
  const wanted = parseAllDocuments(desired)
  const running = parseAllDocuments(current)
  const held = holdVersions(wanted, running, movesInstaller)
  if (isDeepStrictEqual(contentOf(wanted), contentOf(running))) return { text: undefined, held }
  // Without held versions the config is sent byte for byte, so that the next comparison is of bytes.
  if (held.length === 0) return { text: desired, held }
  return { text: textOf(wanted), held }
}

/** Where two configs differ, as dotted paths without values, which may be secrets. */
export function differingPaths(one: string, other: string): string[] {
  const [wanted, running] = [parseAllDocuments(one), parseAllDocuments(other)].map(contentOf)
  const kinds = new Set([...(wanted?.keys() ?? []), ...(running?.keys() ?? [])])
  return [...kinds].flatMap((kind) =>
    pathsBetween(wanted?.get(kind), running?.get(kind)).map((path) =>
      [kind.replace(/\/$/, ''), ...path].filter((part) => part !== '').join('.'),
    ),
  )
}

function pathsBetween(one: unknown, other: unknown): string[][] {
  if (isDeepStrictEqual(one, other)) return []
  if (!isMap(one) || !isMap(other)) return [[]]
  const keys = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...keys].flatMap((key) =>
    pathsBetween(one[key], other[key]).map((path) => [key, ...path]),
  )
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Copies the running versions into the desired config, whichever form each config has; returns those that differ. */
function holdVersions(
  wanted: readonly Document[],
  running: readonly Document[],
  movesInstaller: boolean,
): HeldVersion[] {
  const held: HeldVersion[] = []
  for (const { what, places } of versionFields) {
    const [desired, runs] = [findImage(wanted, places), findImage(running, places)]
    if (desired === undefined || runs === undefined || desired.image === runs.image) continue
    const isInstaller = what === installer
    if (isInstaller && movesInstaller) continue
    // Another registry or image name is the user's choice, not a version change.
    if (!isInstaller && repositoryOf(desired.image) !== repositoryOf(runs.image)) continue
    desired.document.setIn(desired.path, runs.image)
    const show = isInstaller ? shortly : tagOf
    if (!held.some((one) => one.what === what))
      held.push({ what, running: show(runs.image), desired: show(desired.image) })
  }
  return held
}

interface Image {
  readonly image: string
  readonly document: Document
  readonly path: readonly string[]
}

function findImage(documents: readonly Document[], places: readonly Place[]): Image | undefined {
  for (const { kind, path } of places)
    for (const document of documents) {
      const image = document.get('kind') === kind ? document.getIn(path) : undefined
      if (typeof image === 'string') return { image, document, path }
    }
  return undefined
}

/** The installer image that a machine config names; undefined: none. */
export function installerIn(config: string): string | undefined {
  const { places } = versionFields.find(({ what }) => what === installer) ?? { places: [] }
  return findImage(parseAllDocuments(config), places)?.image
}

/** The documents as plain values, by kind and name, without empty ones. */
function contentOf(documents: readonly Document[]): Map<string, unknown> {
  return new Map(
    documents
      .filter(({ contents }) => contents !== null)
      .map((document): [string, unknown] => [
        `${String(document.get('kind') ?? '')}/${String(document.get('name') ?? '')}`,
        document.toJS(),
      ])
      .sort(([one], [other]) => one.localeCompare(other)),
  )
}

/** An installer image without its registry, and with twelve digits of its schematic. */
function shortly(image: string): string {
  return image.replace(/^.*\//, '').replace(/^([0-9a-f]{12})[0-9a-f]{52}/, '$1')
}

function repositoryOf(image: string): string {
  return image.replace(/:[^:/]+$/, '')
}

function tagOf(image: string): string {
  return /:([^:/]+)$/.exec(image)?.[1] ?? image
}
