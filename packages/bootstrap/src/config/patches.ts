/** The user's patches and the machines that they apply to. */
import { join, relative } from 'node:path'
import {
  isUserFolder,
  listUserFolder,
  readUserFile,
  type Cluster,
  type Node,
} from '@talosmith/core'
import { readManifests, type ManifestDigests } from './manifests.ts'
import { folderLost, patchNamesUnknown, refuseMisplaced } from './patch-problems.ts'

/** A user's patch: its path and its text. */
export interface Patch {
  readonly path: string
  readonly text: string
}

/** The user's patches of a cluster, and the manifests, which are a patch of the control planes. */
export interface Patches {
  /** By machine, in the order in which they are applied. */
  readonly byNode: ReadonlyMap<string, readonly Patch[]>
  /** Names of the files that apply to a machine. */
  readonly used: readonly string[]
  /** Files for machines that the settings no longer have, or not yet. */
  readonly unused: readonly string[]
  /** What is beside the folders that are read, and may have been meant for them: a sentence each. */
  readonly misplaced: readonly string[]
  readonly manifests: ManifestDigests
}

/** What the last configs were made with. */
export interface FormerPatches {
  readonly patches?: readonly string[]
  readonly manifests?: ManifestDigests
}

/** What talosctl reads as a patch; a file with another ending is none. */
const isPatch = (name: string): boolean => /^[^.].*\.(?:ya?ml|json)$/i.test(name)

/**
 * The names of the files for a node, in order: all, its role, its own; by name within each. The word
 * stands before `.`, `-` or `_`: `home-w1.yaml` is not for home-w10. A file belongs to the longest word that it
 * begins with: in a cluster named `all`, `all-cp1.yaml` is only for the machine all-cp1.
 */
export function choosePatches(
  names: readonly string[],
  { role, name: node }: Pick<Node, 'role' | 'name'>,
  machines: readonly string[] = [node],
): string[] {
  const sorted = names.filter(isPatch).sort()
  const words = wordsOf(machines)
  return ['all', role, node].flatMap((word) =>
    sorted.filter((name) => wordOf(name, words) === word),
  )
}

function wordsOf(machines: readonly string[]): string[] {
  return ['all', 'controlplane', 'worker', ...machines]
}

function wordOf(name: string, words: readonly string[]): string | undefined {
  return words
    .filter((word) => name.startsWith(word) && /[.\-_]/.test(name[word.length] ?? ''))
    .reduce<string | undefined>(
      (a, b) => (a === undefined || b.length > a.length ? b : a),
      undefined,
    )
}

/**
 * Reads the user's patches and manifests; a folder that does not exist means none, unless the last configs were made
 * with the files `before`. Throws FOLDER_UNKNOWN for misplaced ones, PATCHES_LOST then, PATCH_NAME_UNKNOWN for files and folders that apply to no
 * machine, FILE_UNREADABLE for what can't be read, and what `readManifests` throws.
 */
export async function readPatches(
  cluster: Cluster,
  { patches: before = [], manifests: manifestsBefore }: FormerPatches = {},
): Promise<Patches> {
  const { patchesDir, nodes, root } = cluster
  const shown = (name: string): string => relative(root, join(patchesDir, name))
  const machines = nodes.map(({ name }) => name)
  const words = wordsOf(machines)
  const misplaced = await refuseMisplaced(
    cluster,
    (name) => isPatch(name) && wordOf(name, words) !== undefined,
  )
  const names = await listUserFolder(patchesDir, shown('.'))
  if (names === undefined && before.length > 0) throw await folderLost(cluster, 'patches', before)
  const chosen = new Map(
    nodes.map((node) => [node.name, choosePatches(names ?? [], node, machines)]),
  )
  const used = [...new Set([...chosen.values()].flat())]
  // Reads every patch before it names those that are for no machine: an unreadable one is the worse problem.
  const texts = new Map<string, Patch>()
  for (const name of used) {
    const path = join(patchesDir, name)
    const text = await readUserFile(path, shown(name))
    // talosctl mistakes an empty patch for a JSON patch, and rejects it.
    if (/^(?!\s*(?:#|---|$))/m.test(text)) texts.set(name, { path, text })
  }
  const { unknown, unused } = await judgeOthers(
    cluster,
    (names ?? []).filter((name) => !used.includes(name)),
  )
  if (unknown.length > 0) throw patchNamesUnknown(shown('.'), unknown, words)
  const manifests = await readManifests(cluster, manifestsBefore)
  return {
    byNode: new Map(
      nodes.map(({ name, role }) => [
        name,
        [
          ...(role === 'controlplane' && manifests.patch !== undefined ? [manifests.patch] : []),
          ...(chosen.get(name) ?? []).flatMap((file) => texts.get(file) ?? []),
        ],
      ]),
    ),
    used: used.sort(),
    unused,
    misplaced,
    manifests: manifests.digests,
  }
}

/** Names that apply to no machine: unknown ones, and those of a machine that the settings had or may have again. */
async function judgeOthers(
  { name: cluster, nodes, patchesDir }: Cluster,
  names: readonly string[],
): Promise<{ readonly unknown: readonly string[]; readonly unused: readonly string[] }> {
  const words = wordsOf(nodes.map(({ name }) => name))
  const unknown: string[] = []
  const unused: string[] = []
  for (const name of names) {
    if (name.startsWith('.')) continue
    if (await isUserFolder(join(patchesDir, name))) unknown.push(`${name}/`)
    // With a word it is for a role without machines, such as no workers.
    else if (isPatch(name) && wordOf(name, words) === undefined) {
      const rest = name.startsWith(`${cluster}-`) ? name.slice(cluster.length + 1) : ''
      if (/^(?:cp|w)\d+[.\-_]/.test(rest)) unused.push(name)
      else unknown.push(name)
    }
  }
  return { unknown, unused }
}
