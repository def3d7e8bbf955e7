/** A project as Nx' graph knows it. */
export interface GraphNode {
  readonly data: { readonly tags?: readonly string[] }
}

/** The part of Nx' graph file that says who imports whom. */
export interface ProjectGraph {
  readonly nodes: Readonly<Record<string, GraphNode>>
  readonly dependencies: Readonly<Record<string, readonly { readonly target: string }[]>>
}

/** Which layer may import which: flow -> part -> client -> core, lab -> core. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'layer:core': [],
  'layer:client': ['layer:core'],
  'layer:part': ['layer:client', 'layer:core'],
  'layer:flow': ['layer:part', 'layer:client', 'layer:core'],
  'layer:lab': ['layer:core'],
  'layer:tools': ['layer:core'],
}

/** Every import between projects that the layers forbid, as a sentence; and projects without a layer. */
export function forbiddenImports({ nodes, dependencies }: ProjectGraph): string[] {
  const layerOf = (name: string): string | undefined =>
    nodes[name]?.data.tags?.find((tag) => tag.startsWith('layer:'))
  const homeless = Object.keys(nodes)
    .filter((name) => layerOf(name) === undefined)
    .map(
      (name) =>
        `${name} has no layer: give its project.json a tag layer:core, client, part, flow or lab`,
    )
  const forbidden = Object.entries(dependencies).flatMap(([source, targets]) =>
    targets
      .filter(({ target }) => nodes[target] !== undefined && target !== source)
      .filter(({ target }) => !allowed[layerOf(source) ?? '']?.includes(layerOf(target) ?? ''))
      .map(({ target }) => `${source} (${layerOf(source)}) imports ${target} (${layerOf(target)})`),
  )
  return [...homeless, ...new Set(forbidden)]
}
