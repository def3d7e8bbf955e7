import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { forbiddenImports, type ProjectGraph } from '../checks/layers.ts'

const layers = {
  core: 'core',
  clients: 'client',
  image: 'part',
  vm: 'part',
  cluster: 'flow',
  lab: 'lab',
}

function graph(...edges: [string, string][]): ProjectGraph {
  const nodes = Object.fromEntries(
    Object.entries(layers).map(([name, layer]) => [name, { data: { tags: [`layer:${layer}`] } }]),
  )
  const dependencies: Record<string, { target: string }[]> = {}
  for (const [source, target] of edges) (dependencies[source] ??= []).push({ target })
  return { nodes, dependencies }
}

const allowed: [string, string][] = [
  ['image', 'core'],
  ['image', 'clients'],
  ['cluster', 'clients'],
  ['clients', 'core'],
  ['cluster', 'vm'],
  ['cluster', 'core'],
  ['lab', 'core'],
  ['core', 'npm:zod'],
]
for (const [source, target] of allowed)
  test(`${source} may import ${target}`, () => {
    assert.equal(forbiddenImports(graph([source, target])), [])
  })

const forbidden: [string, string][] = [
  ['image', 'vm'],
  ['clients', 'image'],
  ['core', 'clients'],
  ['lab', 'clients'],
  ['core', 'vm'],
  ['vm', 'cluster'],
  ['vm', 'lab'],
  ['cluster', 'lab'],
  ['core', 'lab'],
  ['lab', 'vm'],
]
for (const [source, target] of forbidden)
  test(`${source} may not import ${target}`, () => {
    assert.match(forbiddenImports(graph([source, target]))[0] ?? '', `${source} (layer:`)
  })

test('a project without a layer is a fault', () => {
  const faults = forbiddenImports({ nodes: { stray: { data: {} } }, dependencies: {} })
  assert.match(faults[0] ?? '', 'stray has no layer')
})

test.run()
