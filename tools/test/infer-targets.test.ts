import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { inferTargets, orderOf } from '../nx/infer-targets.js'

const projects: Readonly<Record<string, string>> = { scripts: 'cluster', 'packages/vm': 'vm' }
const files = ['scripts/up.ts', 'packages/vm/scripts/create.ts', 'packages/vm/scripts/render.ts']
const chains = [
  [{ 'cluster:check': 'looks' }, { 'vm:create': 'makes machines' }, { 'cluster:up': 'tells' }],
]

/** The targets by name, of these files and chains. */
function infer(
  more: {
    files?: string[]
    aliases?: Record<string, string>
    before?: Record<string, string[]>
  } = {},
): Record<string, unknown> {
  const { aliases = {}, before = {} } = more
  const inferred = inferTargets(
    [...files, ...(more.files ?? [])],
    (folder) => projects[folder],
    { chains, aliases },
    { chains: 'scripts/chain.js', before },
  )
  return Object.fromEntries(
    inferred.flatMap(([file, { projects: roots = {} }]) =>
      Object.entries(roots).flatMap(([root, { targets = {} }]) =>
        Object.entries(targets).map(([name, target]) => [`${root}:${name}`, { file, ...target }]),
      ),
    ),
  )
}

test('a script is a target of its project, runs compiled in the root, and is never cached', () => {
  assert.equal(infer()['packages/vm:render'], {
    file: 'packages/vm/scripts/render.ts',
    executor: 'nx:run-commands',
    options: {
      command: 'node tools/build/run.js packages/vm/scripts/render.ts',
      cwd: '{workspaceRoot}',
    },
    cache: false,
  })
})

test('a stage waits for the line before it, and has a description', () => {
  const { 'packages/vm:create': create, 'scripts:up': up } = infer() as Record<
    string,
    { dependsOn: string[]; metadata: object }
  >
  assert.equal(create?.dependsOn, ['cluster:check'])
  assert.equal(create?.metadata, { description: 'makes machines' })
  assert.equal(up?.dependsOn, ['vm:create'])
})

test('a stage without a file has its order; project.json gives it the command', () => {
  assert.equal(infer()['scripts:check'], {
    file: 'scripts/chain.js',
    cache: false,
    dependsOn: [],
    metadata: { description: 'looks' },
  })
})

test('every stage but the first of a chain runs as a later one', () => {
  const targets = infer() as Record<string, { options?: { env?: object } }>
  const env = { TALOSMITH_LATER_STAGE: 'true' }
  assert.equal(targets['packages/vm:create']?.options?.env, env)
  assert.equal(targets['scripts:up']?.options?.env, env)
  assert.is(targets['scripts:check']?.options, undefined)
  assert.is(targets['packages/vm:render']?.options?.env, undefined)
})

test('what the workspace wants done before a stage comes before the line before it', () => {
  const { 'packages/vm:create': create } = infer({ before: { 'vm:create': ['disks:mount'] } })
  assert.equal((create as { dependsOn: string[] }).dependsOn, ['disks:mount', 'cluster:check'])
})

test('an alias is its target under another name', () => {
  const { 'scripts:up': up, 'packages/vm:all': all } = infer({
    aliases: { 'vm:all': 'cluster:up' },
  })
  const metadata = { description: 'the former name of cluster:up' }
  assert.equal(all, { ...(up as object), metadata })
})

test('a folder of scripts without a project is passed over', () => {
  assert.equal(infer({ files: ['docs/scripts/draw.ts'] }), infer())
})

test('an alias of nothing, a hook of no stage and a stage of no project are refused by name', () => {
  assert.throws(
    () => infer({ aliases: { 'vm:all': 'cluster:none' } }),
    /vm:all: there is no cluster:none/,
  )
  assert.throws(() => infer({ before: { 'vm:none': ['disks:mount'] } }), /vm:none is in no chain/)
  const orphan = { chains: [[{ 'disk:mount': 'mounts' }]], aliases: {} }
  const options = { chains: 'scripts/chain.js' }
  assert.throws(() => inferTargets([], () => undefined, orphan, options), /no project disk/)
})

test('two chains may share a beginning, and may not disagree on what comes before a stage', () => {
  const first = [{ a: '1' }, { b: '2' }]
  assert.equal(orderOf([first, [...first, { c: '3' }]]).get('c')?.dependsOn, ['b'])
  assert.throws(() => orderOf([first, [{ c: '3' }, { b: '2' }]]), /b comes after a .* after c/)
})

test('stages of one line run side by side, and the next line waits for all of them', () => {
  const order = orderOf([[{ a: '1', b: '2' }, { c: '3' }]])
  assert.equal(order.get('b')?.dependsOn, [])
  assert.equal(order.get('c')?.dependsOn, ['a', 'b'])
})

test.run()
