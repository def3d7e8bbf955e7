import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chooseCluster, listClusters } from '../../src/settings/find.ts'
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

choosing("without a file of the user's the fallback is taken", async ({ root }) => {
  assert.is(await chooseCluster(root, undefined), 'demo')
})

choosing("the only file of the user's is taken", async ({ root }) => {
  add(root, 'home')
  assert.is(await chooseCluster(root, undefined), 'home')
})

choosing('several files are listed, none is taken', async ({ root }) => {
  add(root, 'home')
  add(root, 'office')
  const problem = await problemOf(chooseCluster(root, undefined))
  assert.is(problem.code, 'CLUSTER_AMBIGUOUS')
  assert.match(problem.message, 'home, office')
})

choosing('a name without a file is refused with the close one', async ({ root }) => {
  add(root, 'home')
  const problem = await problemOf(chooseCluster(root, 'hoem'))
  assert.is(problem.code, 'CLUSTER_UNKNOWN')
  assert.is(problem.exitCode, 78)
  assert.match(problem.hint ?? '', 'CLUSTER=home')
})

choosing('the file that was asked for is taken', async ({ root }) => {
  add(root, 'home')
  assert.is(await chooseCluster(root, 'demo'), 'demo')
})

choosing(
  'all are listed but the example, with what keeps one from being read',
  async ({ root }) => {
    writeFileSync(join(root, 'env', 'home.env'), 'CLUSTER_NAME=house\nNETWORK_BRIDGE=br0\n')
    const [demo, home, ...others] = await listClusters(root)
    assert.is(home?.cluster?.name, 'house')
    assert.is(demo?.cluster, undefined)
    assert.match(demo?.error ?? '', 'env/demo.env')
    assert.equal(others, [])
  },
)

choosing.run()
