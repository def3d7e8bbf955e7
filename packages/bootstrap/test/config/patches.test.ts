import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
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
  [
    'every ending and separator',
    ['all.json', 'all.yml', 'all_cilium.YAML'],
    ['all.json', 'all.yml', 'all_cilium.YAML'],
  ],
  ['none that is set aside', ['all.yaml.bak', '.all.yaml', 'all.yaml~', 'all.txt'], []],
]
for (const [title, names, chosen] of rows)
  test(`a machine gets ${title}`, () => {
    assert.equal(choosePatches(names, worker), chosen)
  })

test('in a cluster named like a role, a machine has its own files', () => {
  const names = ['worker-w1.yaml', 'worker.yaml', 'all-cp1.yaml']
  const machines = ['worker-cp1', 'worker-w1', 'worker-w2']
  const chosen = (name: string): string[] =>
    choosePatches(names, { role: 'worker', name }, machines)
  assert.equal(chosen('worker-w1'), ['all-cp1.yaml', 'worker.yaml', 'worker-w1.yaml'])
  assert.equal(chosen('worker-w2'), ['all-cp1.yaml', 'worker.yaml'])
})

/** A cluster with a folder of patches, each with its name as text. */
function withPatches(...names: string[]): { cluster: Cluster; folder: string } {
  const root = temporaryFolder('patches')
  const folder = join(root, 'env', 'home', 'patches')
  mkdirSync(folder, { recursive: true })
  for (const name of names) writeFileSync(join(folder, name), `name: ${name}\n`)
  return { cluster: testCluster({}, root), folder }
}

test('patches are read once each, and files of former machines are named', async () => {
  const { cluster, folder } = withPatches(
    ...['all.yaml', 'worker-a.yml', 'home-cp1.yaml', 'home-w9.yaml', 'notes.txt', 'old.yaml.off'],
  )
  const { byNode, used, unused } = await readPatches(cluster)
  assert.equal(
    byNode.get('home-cp1')?.map(({ text }) => text),
    ['name: all.yaml\n', 'name: home-cp1.yaml\n'],
  )
  assert.equal(
    byNode.get('home-w2')?.map(({ path }) => path),
    [join(folder, 'all.yaml'), join(folder, 'worker-a.yml')],
  )
  assert.equal(used, ['all.yaml', 'home-cp1.yaml', 'worker-a.yml'])
  assert.equal(unused, ['home-w9.yaml'])
  writeFileSync(join(folder, 'all.yaml'), '\uFEFF# nothing\n---\n\n   # nothing\n')
  assert.is((await readPatches(cluster)).byNode.get('home-cp1')?.length, 1)
})

test('without workers, their patches stay where they are', async () => {
  const { cluster } = withPatches('worker.yaml')
  const alone = testCluster({ WORKER_COUNT: '0' }, cluster.root)
  assert.equal((await readPatches(alone)).unused, [])
})

test('no folder is no patch', async () => {
  const { byNode, unused } = await readPatches(testCluster({}, '/nowhere'))
  assert.equal(byNode.get('home-cp1'), [])
  assert.equal(unused, [])
})

for (const [name, meant] of [
  ['workers.yaml', 'worker.yaml'],
  ['wroker.yml', 'worker.yml'],
  ['control-plane.yaml', 'controlplane.yaml'],
  ['controlplan.yaml', 'controlplane.yaml'],
  ['cp1.yaml', 'home-cp1.yaml'],
  ['cilium.yaml', 'all-cilium.yaml'],
  ['allow.yaml', 'all.yaml'],
  ['patch.json', 'all-patch.json'],
] as const)
  test(`${name} is refused: ${meant} was meant`, async () => {
    const { cluster } = withPatches('all.yaml', name)
    const problem = await problemOf(readPatches(cluster))
    assert.is(problem.code, 'PATCH_NAME_UNKNOWN')
    assert.is(problem.exitCode, 78)
    assert.match(problem.message, `${name} in env/home/patches`)
    assert.match(problem.because ?? '', `did you mean ${meant}?`)
    assert.match(problem.hint ?? '', `mv env/home/patches/${name}`)
  })

test('a name with a space is quoted in the command that renames it', async () => {
  const { hint } = await problemOf(readPatches(withPatches('all of them.yaml').cluster))
  assert.match(hint ?? '', "mv 'env/home/patches/all of them.yaml' 'env/home/patches/.all of")
})

test('a subfolder is refused, and a hidden one is not', async () => {
  const { cluster, folder } = withPatches()
  mkdirSync(join(folder, '.old'))
  assert.equal((await readPatches(cluster)).used, [])
  mkdirSync(join(folder, 'all-cilium'))
  const problem = await problemOf(readPatches(cluster))
  assert.is(problem.code, 'PATCH_NAME_UNKNOWN')
  assert.match(problem.because ?? '', 'all-cilium/: subfolders are not read')
})

for (const [name, meant] of [
  ['patch', 'patches'],
  ['Patches', 'patches'],
  ['patches2', 'patches'],
  ['manifest', 'manifests'],
  ['manifests2', 'manifests'],
] as const)
  test(`env/home/${name} is refused: ${meant} was meant`, async () => {
    const { cluster, folder } = withPatches()
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(join(folder, '..', name), { recursive: true })
    const problem = await problemOf(readPatches(cluster))
    assert.is(problem.code, 'FOLDER_UNKNOWN')
    assert.is(problem.exitCode, 78)
    assert.match(problem.message, `env/home/${name} is not read: did you mean env/home/${meant}?`)
    assert.match(problem.hint ?? '', `mv env/home/${name} env/home/${meant}`)
  })

test('beside the folder that is meant, a folder or a patch is only a warning', async () => {
  const { cluster, folder } = withPatches('all.yaml')
  for (const name of ['manifests', 'manifests-off', 'patches2']) mkdirSync(join(folder, '..', name))
  writeFileSync(join(folder, '..', 'worker.yaml'), 'a: b\n')
  const { used, misplaced } = await readPatches(cluster)
  assert.equal(used, ['all.yaml'])
  assert.equal(misplaced, [
    'env/home/manifests-off is not read: did you mean env/home/manifests?',
    'env/home/patches2 is not read: did you mean env/home/patches?',
    'env/home/worker.yaml is not read: did you mean env/home/patches/worker.yaml?',
  ])
})

test('a patch beside its folder is refused', async () => {
  const { cluster, folder } = withPatches()
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, '..'), { recursive: true })
  writeFileSync(join(folder, '..', 'worker.yaml'), 'a: b\n')
  const { code, message, hint } = await problemOf(readPatches(cluster))
  assert.is(code, 'FOLDER_UNKNOWN')
  assert.match(message, 'did you mean env/home/patches/worker.yaml?')
  assert.match(hint ?? '', 'mv env/home/worker.yaml env/home/patches/worker.yaml')
})

test("the user's other files and folders beside patches stay", async () => {
  const { cluster, folder } = withPatches('all.yaml')
  for (const name of ['notes', 'values', '.patch', 'manifests']) mkdirSync(join(folder, '..', name))
  for (const name of ['README.md', 'patches.md', 'values.yaml', '.all.yaml'])
    writeFileSync(join(folder, '..', name), '')
  assert.equal((await readPatches(cluster)).used, ['all.yaml'])
})

const isRoot = process.getuid?.() === 0

for (const [title, because, put] of [
  ['a patch that is a folder', /it is a folder/, (folder) => mkdirSync(join(folder, 'all.yaml'))],
  [
    'a patch that is a link to nothing',
    /leads nowhere/,
    (folder) => symlinkSync('nothing', join(folder, 'all.yaml')),
  ],
  [
    'a patch that is a pipe',
    /a pipe, socket or device/,
    (folder) => execFileSync('mkfifo', [join(folder, 'all.yaml')]),
  ],
  [
    'a patch in UTF-16',
    /UTF-16/,
    (folder) => writeFileSync(join(folder, 'all.yaml'), Buffer.from('\uFEFFname: x\n', 'utf16le')),
  ],
  [
    'a folder that is a file',
    /a file, not a folder/,
    (folder) => (rmdirSync(folder), writeFileSync(folder, 'name: x\n')),
  ],
  [
    'a folder that is a link to nothing',
    /leads nowhere/,
    (folder) => (rmdirSync(folder), symlinkSync('nothing', folder)),
  ],
  ...(isRoot
    ? []
    : [
        [
          'a folder without permission',
          /permission denied/,
          (folder: string) => chmodSync(folder, 0),
        ],
      ]),
] as [string, RegExp, (folder: string) => void][])
  test(`${title} is a problem, never no patches`, async () => {
    const { cluster, folder } = withPatches()
    put(folder)
    const problem = await problemOf(readPatches(cluster))
    assert.is(problem.code, 'FILE_UNREADABLE')
    assert.match(problem.message, 'env/home/patches')
    assert.match(problem.because ?? '', because)
    assert.match(problem.hint ?? '', 'env/home/patches')
  })

test('a folder that is gone since the last configs is a problem', async () => {
  const { cluster, folder } = withPatches('all.yaml')
  rmSync(folder, { recursive: true })
  const problem = await problemOf(readPatches(cluster, { patches: ['all.yaml'] }))
  assert.is(problem.code, 'PATCHES_LOST')
  assert.match(problem.because ?? '', 'all.yaml')
  assert.match(problem.hint ?? '', 'mkdir -p env/home/patches')
  mkdirSync(folder)
  assert.equal(
    (await readPatches(cluster, { patches: ['all.yaml'] })).used,
    [],
    'an empty folder is a decision',
  )
})

test('of a renamed env file, the old folder is found', async () => {
  const { cluster } = withPatches('all.yaml')
  const renamed = {
    ...cluster,
    patchesDir: join(cluster.root, 'env', 'house', 'patches'),
    file: 'house',
  }
  const problem = await problemOf(readPatches(renamed, { patches: ['all.yaml'] }))
  assert.is(problem.code, 'PATCHES_LOST')
  assert.match(problem.hint ?? '', 'mv env/home/patches env/house/patches')
})

test.run()
