import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chooseCluster, listClusters, loadCluster } from '../../src/settings/find.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

const choosing = suite<{ root: string }>('choosing a cluster')

choosing.before.each((context) => {
  context.root = temporaryFolder('find')
  mkdirSync(join(context.root, 'env'))
  writeFileSync(join(context.root, 'package.json'), '{"talosmith":{"fallbackCluster":"demo"}}')
  for (const name of ['example', 'demo'])
    writeFileSync(join(context.root, 'env', `${name}.env`), '')
})

const add = (root: string, name: string): void =>
  writeFileSync(join(root, 'env', `${name}.env`), '')

choosing("without a file of the user's the fallback is used", async ({ root }) => {
  assert.is(await chooseCluster(root, undefined), 'demo')
})

choosing("the only file of the user's is used", async ({ root }) => {
  add(root, 'home')
  assert.is(await chooseCluster(root, undefined), 'home')
})

choosing('several files are listed, and none is used', async ({ root }) => {
  add(root, 'home')
  add(root, 'office')
  const problem = await problemOf(chooseCluster(root, undefined))
  assert.is(problem.code, 'CLUSTER_AMBIGUOUS')
  assert.match(problem.message, 'home, office')
})

choosing('a name without a file is rejected with the closest one', async ({ root }) => {
  add(root, 'home')
  const problem = await problemOf(chooseCluster(root, 'hoem'))
  assert.is(problem.code, 'CLUSTER_UNKNOWN')
  assert.is(problem.exitCode, 78)
  assert.match(problem.hint ?? '', 'CLUSTER=home')
  assert.is(problem.now, 'nothing was changed')
})

for (const path of ['../demo', 'a/b', '.', '-'])
  choosing(`${path} is no name of a cluster`, async ({ root }) => {
    const problem = await problemOf(chooseCluster(root, path))
    assert.is(problem.code, 'CLUSTER_UNKNOWN')
    assert.match(problem.hint ?? '', 'use the name of a file in env/')
  })

choosing('the example is no cluster to choose', async ({ root }) => {
  const problem = await problemOf(chooseCluster(root, 'exampel'))
  assert.is(problem.because, 'env/ contains: demo.env')
  assert.match(problem.hint ?? '', 'cp env/example.env env/exampel.env')
})

for (const written of ['home.env', 'env/home.env', 'env/home'])
  choosing(`${written} is rejected: the name alone was meant`, async ({ root }) => {
    add(root, 'home')
    const problem = await problemOf(chooseCluster(root, written))
    assert.is(problem.code, 'CLUSTER_UNKNOWN')
    assert.match(problem.hint ?? '', 'did you mean CLUSTER=home?')
  })

const unreadable: [string, RegExp, (path: string) => void][] = [
  ['a folder', /it is a folder/, (path) => mkdirSync(path)],
  ['a link to nothing', /leads nowhere/, (path) => symlinkSync('nothing', path)],
  ['a link to itself', /a link to itself/, (path) => symlinkSync('home.env', path)],
  ['a pipe', /pipe, socket or device/, (path) => void execFileSync('mkfifo', [path])],
  ['a link to a device', /pipe, socket or device/, (path) => symlinkSync('/dev/zero', path)],
  ['UTF-16', /UTF-16/, (path) => writeFileSync(path, Buffer.from('\uFEFFA=1\n', 'utf16le'))],
  ['no text', /not UTF-8/, (path) => writeFileSync(path, Buffer.from([0x41, 0xe9, 0x0a]))],
  ['zeros', /not UTF-8/, (path) => writeFileSync(path, Buffer.alloc(64))],
]
for (const [title, because, put] of unreadable)
  choosing(`an env file that is ${title} is a Problem`, async ({ root }) => {
    put(join(root, 'env', 'home.env'))
    const problem = await problemOf(loadCluster(root, undefined, {}))
    assert.is(problem.code, 'FILE_UNREADABLE')
    assert.is(problem.exitCode, 78)
    assert.match(problem.message, 'env/home.env')
    assert.match(problem.because ?? '', because)
    assert.match(problem.hint ?? '', 'then run the same command again')
  })

choosing('a folder env that is a file is a Problem, and not the fallback', async ({ root }) => {
  rmSync(join(root, 'env'), { recursive: true })
  writeFileSync(join(root, 'env'), '')
  const problem = await problemOf(loadCluster(root, undefined, {}))
  assert.is(problem.code, 'FILE_UNREADABLE')
  assert.match(problem.because ?? '', 'it is a file, not a folder')
})

choosing('patches of pod networks allow another network of machines', async ({ root }) => {
  const settings = 'CLUSTER_NAME=home\nNETWORK_BRIDGE=br0\nNETWORK_CIDR=10.100.0.0/24\n'
  writeFileSync(join(root, 'env', 'home.env'), settings)
  assert.is((await problemOf(loadCluster(root, 'home', {}))).code, 'SETTINGS_INVALID')
  mkdirSync(join(root, 'env', 'home', 'patches'), { recursive: true })
  const patch = 'cluster:\n  network:\n    serviceSubnets: [10.200.0.0/16]\n'
  writeFileSync(join(root, 'env', 'home', 'patches', 'all.yaml'), patch)
  assert.is((await loadCluster(root, 'home', {})).cluster.name, 'home')
})

choosing('the requested file is used', async ({ root }) => {
  add(root, 'home')
  assert.is(await chooseCluster(root, 'demo'), 'demo')
})

choosing(
  'all files except the example are listed, with the errors of unreadable ones',
  async ({ root }) => {
    writeFileSync(join(root, 'env', 'home.env'), 'CLUSTER_NAME=house\nNETWORK_BRIDGE=br0\n')
    const [demo, house, ...others] = await listClusters(root)
    assert.is(house?.cluster?.name, 'house')
    assert.is(demo?.cluster, undefined)
    assert.match(demo?.error ?? '', 'env/demo.env')
    assert.equal(others, [])
  },
)

for (const [title, files, selected, shell, refused] of [
  ['of one name', { a: 'home', b: 'home' }, 'a', {}, true],
  ['of one name, written differently', { a: 'home', b: " 'home' # ours" }, 'a', {}, true],
  ['of two names', { a: 'home', b: 'office' }, 'a', {}, false],
  ['of two names, one of them the example', { a: 'home', example: 'home' }, 'a', {}, false],
  ['of one name where the shell names another', { a: 'home', b: 'home' }, 'a', 'labha', false],
  ['of which the shell names the other', { a: 'home', b: 'office' }, 'a', 'office', true],
] as const)
  choosing(`two env files ${title} are ${refused ? 'refused' : 'read'}`, async ({ root }) => {
    for (const [name, cluster] of Object.entries(files))
      writeFileSync(
        join(root, 'env', `${name}.env`),
        `CLUSTER_NAME=${cluster}\nNETWORK_BRIDGE=br0\n`,
      )
    const loaded = loadCluster(
      root,
      selected,
      typeof shell === 'string' ? { CLUSTER_NAME: shell } : {},
    )
    if (!refused) return void (await loaded)
    const problem = await problemOf(loaded)
    assert.is(problem.code, 'CLUSTER_NAME_TWICE')
    assert.match(problem.message, /env\/a\.env and env\/b\.env/)
    assert.is(problem.exitCode, 78)
    // Both still count as env files of that cluster: its machines are no orphans.
    const known = (await listClusters(root)).map(({ cluster }) => cluster?.name)
    assert.ok(known.includes(title.includes('shell') ? 'office' : 'home'))
  })

choosing.run()
