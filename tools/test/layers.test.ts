import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { forbiddenImports, bypassingImports, type ProjectGraph } from '../checks/layers.ts'

const layers = {
  core: 'core',
  clients: 'client',
  image: 'part',
  vm: 'part',
  cluster: 'flow',
  lab: 'lab',
  tools: 'tools',
  bench: 'bench',
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
  ['tools', 'core'],
  ['bench', 'vm'],
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
  ['lab', 'clients'],
  ['core', 'clients'],
  ['clients', 'vm'],
  ['vm', 'tools'],
  ['cluster', 'bench'],
  ['lab', 'tools'],
]
for (const [source, target] of forbidden)
  test(`${source} may not import ${target}`, () => {
    assert.match(forbiddenImports(graph([source, target]))[0] ?? '', `${source} (layer:`)
  })

test('a project without a layer is a problem', () => {
  const problems = forbiddenImports({ nodes: { untagged: { data: {} } }, dependencies: {} })
  assert.match(problems[0] ?? '', 'untagged has no layer')
})

const manifests = ['', 'packages/core', 'packages/core-more', 'lab'].map((folder) => ({
  folder,
  name: `@talosmith/${folder}`,
  dependencies: {},
  devDependencies: {},
}))
const problemsOf = (path: string, name: string): string[] =>
  bypassingImports(manifests, [{ path, imports: [name] }])

for (const [path, name] of [
  ['packages/core/src/a.ts', './b.ts'],
  ['packages/core/test/deep/a.test.ts', '../../src/b.ts'],
  ['packages/core/src/a.ts', '@talosmith/lab'],
  ['packages/core/test/a.test.ts', '@talosmith/lab/testing'],
  ['packages/core/src/testing/a.ts', '@talosmith/lab/testing'],
  ['bench/a.ts', '@talosmith/lab/testing'],
  ['lab/e2e/a.test.ts', '@talosmith/core/testing'],
] as const)
  test(`${path} may import ${name}`, () => {
    assert.equal(problemsOf(path, name), [])
  })

for (const [path, name, reason] of [
  ['packages/core/test/a.test.ts', '../../../lab/src/b.ts', 'a path into another project'],
  ['packages/core/src/a.ts', '../../core-more/src/b.ts', 'a path into another project'],
  ['lab/src/a.ts', '../../package.json', 'a path into another project'],
  ['packages/core/src/a.ts', '@talosmith/lab/testing', 'which is for tests'],
  ['lab/src/a.ts', '@talosmith/core/testing', 'which is for tests'],
] as const)
  test(`${path} may not import ${name}`, () => {
    assert.equal(problemsOf(path, name).length, 1)
    assert.match(problemsOf(path, name)[0] ?? '', `${path} imports ${name}`)
    assert.match(problemsOf(path, name)[0] ?? '', reason)
  })

test.run()
