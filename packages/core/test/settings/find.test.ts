import { mkdirSync, writeFileSync } from 'node:fs'
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
