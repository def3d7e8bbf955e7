/** The user's patches and the machines that they apply to. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cluster, Node } from '@talosmith/core'

/** A user's patch: its path and its text. */
export interface Patch {
  readonly path: string
  readonly text: string
}

/** The user's patches of a cluster. */
export interface Patches {
  /** By machine, in the order in which they are applied. */
  readonly byNode: ReadonlyMap<string, readonly Patch[]>
  /** Files in the folder that match no machine, perhaps misspelled. */
  readonly unused: readonly string[]
}

/**
 * The names of the files for a node, in order: all, its role, its own; by name within each. The word
 * stands alone or before `-` or `.`: `home-w1.yaml` is not for home-w10.
 */
export function choosePatches(
  names: readonly string[],
  { role, name: node }: Pick<Node, 'role' | 'name'>,
): string[] {
  const sorted = names.filter((name) => name.endsWith('.yaml')).sort()
  return ['all', role, node].flatMap((word) =>
    sorted.filter((name) => name.startsWith(`${word}.`) || name.startsWith(`${word}-`)),
  )
}

/** Reads the user's patches; a folder that does not exist means no patches. */
export async function readPatches({ patchesDir, nodes }: Cluster): Promise<Patches> {
  const names = await readdir(patchesDir).catch(() => [])
  const chosen = new Map(nodes.map((node) => [node.name, choosePatches(names, node)]))
  const used = new Set([...chosen.values()].flat())
  const texts = new Map<string, Patch>()
  for (const name of used) {
    const path = join(patchesDir, name)
    const text = await readFile(path, 'utf8')
    // talosctl mistakes an empty patch for a JSON patch, and rejects it.
    if (/^(?!\s*(?:#|---|$))/m.test(text)) texts.set(name, { path, text })
  }
  return {
    byNode: new Map(
      [...chosen].map(([node, files]) => [node, files.flatMap((file) => texts.get(file) ?? [])]),
    ),
    unused: names.filter((name) => !used.has(name) && /\.ya?ml$/.test(name)).sort(),
  }
}
