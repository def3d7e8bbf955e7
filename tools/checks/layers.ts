/** Which project may import which: checked on Nx' graph and on the sources. Pure. */
import { posix } from 'node:path'
import { isTest, manifestOf, type Manifest, type Source } from './sources.ts'

/** A project as Nx' graph knows it. */
export interface GraphNode {
  readonly data: { readonly tags?: readonly string[] }
}

/** The part of Nx' graph file that lists which project imports which. */
export interface ProjectGraph {
  readonly nodes: Readonly<Record<string, GraphNode>>
  readonly dependencies: Readonly<Record<string, readonly { readonly target: string }[]>>
}

/** Which layer may import which: flow -> part -> client -> core; lab, tools and bench are imported by none. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'layer:core': [],
  'layer:client': ['layer:core'],
  'layer:part': ['layer:client', 'layer:core'],
  'layer:flow': ['layer:part', 'layer:client', 'layer:core'],
  'layer:lab': ['layer:core'],
  'layer:tools': ['layer:core'],
  'layer:bench': ['layer:part', 'layer:client', 'layer:core'],
}

/** Every import between projects that the layers forbid, as a sentence; and projects without a layer. */
export function forbiddenImports({ nodes, dependencies }: ProjectGraph): string[] {
  const layerOf = (name: string): string | undefined =>
    nodes[name]?.data.tags?.find((tag) => tag.startsWith('layer:'))
  const untagged = Object.keys(nodes)
    .filter((name) => layerOf(name) === undefined)
    .map(
      (name) =>
        `${name} has no layer: give its project.json one of the tags ${Object.keys(allowed).join(', ')}`,
    )
  const forbidden = Object.entries(dependencies).flatMap(([source, targets]) =>
    targets
      .filter(({ target }) => nodes[target] !== undefined && target !== source)
      .filter(({ target }) => !allowed[layerOf(source) ?? '']?.includes(layerOf(target) ?? ''))
      .map(({ target }) => `${source} (${layerOf(source)}) imports ${target} (${layerOf(target)})`),
  )
  return [...untagged, ...new Set(forbidden)]
}

/**
 * Every import that bypasses another package's entries, as a sentence: a path that leaves the package, which
 * Nx' graph shows like any other import, and an entry for tests in a file that is not a test.
 */
export function bypassingImports(
  manifests: readonly Manifest[],
  sources: readonly Source[],
): string[] {
  return sources.flatMap(({ path, imports }) =>
    imports.flatMap((specifier) => {
      if (specifier.startsWith('.')) {
        const target = posix.join(posix.dirname(path), specifier)
        const own = manifestOf(manifests, path)
        return manifestOf(manifests, target) === own
          ? []
          : [`${path} imports ${specifier}: a path into another project; use one of its entries`]
      }
      return /^@talosmith\/[^/]+\/testing$/.test(specifier) && !isTest(path)
        ? [`${path} imports ${specifier}, which is for tests`]
        : []
    }),
  )
}
