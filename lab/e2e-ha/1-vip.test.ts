import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  access,
  kubernetesNodes,
  labCluster,
  nx,
  removeCluster,
  threeControlPlanes,
  withHost,
} from '../e2e/support.ts'

const cluster = await labCluster(threeControlPlanes)

/** The control planes that hold the VIP, by their addresses; unreachable ones do not count. */
async function holders(): Promise<string[]> {
  const answers = await Promise.all(
    cluster.controlPlanes.map(async ({ name, address }) => {
      const table = await access(
        cluster,
        'talosctl',
        '-e',
        address,
        '-n',
        address,
        'get',
        'addresses',
      ).catch(() => '')
      return table.includes(`${cluster.vip}/32`) ? [name] : []
    }),
  )
  return answers.flat()
}

test('the machines of the previous clusters are removed', async () => {
  assert.is((await nx('lab:start')).code, 0)
  // Only a failed test leaves one behind; it must not fail the next tests too.
  for (const overrides of [{}, { CLUSTER_NAME: 'labdx' }, threeControlPlanes])
    await removeCluster(overrides)
})

test('three control planes start behind a VIP', async () => {
  assert.is((await nx('cluster:up', threeControlPlanes)).code, 0)
  const nodes = await kubernetesNodes(cluster)
  assert.equal(
    nodes.map(({ metadata }) => metadata.name),
    ['labha-cp1', 'labha-cp2', 'labha-cp3', 'labha-w1'],
  )
})

test('the VIP moves when its holder is powered off, and the API stays available', async () => {
  const before = await holders()
  assert.is(before.length, 1, `held by ${before.join(', ') || 'nobody'}`)
  await withHost(cluster, ({ $ }) => $`virsh destroy ${before[0] ?? ''}`)
  let after: string[] = []
  for (let tries = 0; tries < 45 && after.length === 0; tries++) {
    await sleep(2000)
    after = (await holders()).filter((name) => name !== before[0])
  }
  assert.is(after.length, 1, 'no machine took the VIP within 90 s')
  assert.is((await kubernetesNodes(cluster)).length, 4)
  await withHost(cluster, ({ $ }) => $`virsh start ${before[0] ?? ''}`)
})

test('the machine that was off rejoins', async () => {
  assert.is((await nx('cluster:up', threeControlPlanes)).code, 0)
})

test.run()
