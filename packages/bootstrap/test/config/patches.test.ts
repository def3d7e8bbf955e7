import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { choosePatches, readPatches } from '../../src/config/patches.ts'

const worker = { role: 'worker', name: 'home-w1' } as const
const rows: [string, string[], string[]][] = [
  [
    'all, role and own, in that order',
    ['home-w1.yaml', 'worker.yaml', 'all.yaml'],
    ['all.yaml', 'worker.yaml', 'home-w1.yaml'],
  ],
  [
    'several of one word, by name',
    ['all-b.yaml', 'all.yaml', 'all-a.yaml'],
    ['all-a.yaml', 'all-b.yaml', 'all.yaml'],
  ],
  ['none of the other role', ['controlplane.yaml', 'controlplane-x.yaml'], []],
  [
    'none of a machine whose name begins alike',
    ['home-w10.yaml', 'home-w1-disk.yaml'],
    ['home-w1-disk.yaml'],
  ],
  ['none that only begins with the word', ['allow.yaml', 'workers.yaml'], []],
  ['none that is not YAML', ['all.yml', 'all.json', 'all.yaml.bak'], []],
]
for (const [title, names, chosen] of rows)
  test(`a machine gets ${title}`, () => {
    assert.equal(choosePatches(names, worker), chosen)
  })

test('patches are read once each, and files for no machine are named', async () => {
  const root = temporaryFolder('patches')
  const folder = join(root, 'env', 'home', 'patches')
  mkdirSync(folder, { recursive: true })
  for (const name of [
    'all.yaml',
    'worker-a.yaml',
    'home-cp1.yaml',
    'wroker.yaml',
    'all.yml',
    'notes.txt',
  ])
    writeFileSync(join(folder, name), `name: ${name}\n`)
  const { byNode, unused } = await readPatches(testCluster({}, root))
  assert.equal(
    byNode.get('home-cp1')?.map(({ text }) => text),
    ['name: all.yaml\n', 'name: home-cp1.yaml\n'],
  )
  assert.equal(
    byNode.get('home-w2')?.map(({ path }) => path),
    [join(folder, 'all.yaml'), join(folder, 'worker-a.yaml')],
  )
  assert.equal(unused, ['all.yml', 'wroker.yaml'])
  writeFileSync(join(folder, 'all.yaml'), '# nothing\n---\n\n   # nothing\n')
  assert.is((await readPatches(testCluster({}, root))).byNode.get('home-cp1')?.length, 1)
})

test('no folder is no patch', async () => {
  const { byNode, unused } = await readPatches(testCluster({}, '/nowhere'))
  assert.equal(byNode.get('home-cp1'), [])
  assert.equal(unused, [])
})

test.run()
