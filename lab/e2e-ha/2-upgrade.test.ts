import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { watch } from './hammer.ts'
import {
  access,
  stateDigest,
  labCluster,
  nx,
  threeControlPlanes,
  type Finished,
  type Overrides,
} from '../e2e/support.ts'
import { nodeVersions, restarts } from '../e2e/upgrades.ts'
import { cluster, four, leader, talos } from './three.ts'
import { versions } from '../src/versions.ts'

const before = threeControlPlanes
const after = { ...before, TALOS_VERSION: versions.talos }
const newest = { ...after, KUBERNETES_VERSION: versions.kubernetes }
const upgraded = await labCluster(newest)

async function upgrade(overrides: Overrides): Promise<Finished> {
  return nx('cluster:upgrade', overrides)
}

test('three control planes and a worker run the old version', async () => {
  assert.is((await nx('lab:start')).code, 0)
  assert.is((await nx('cluster:up', before)).code, 0)
  assert.equal(await nodeVersions(cluster), four('v1.13.8 v1.36.2'))
})

test('a stopped etcd member is reported, and nothing is restarted', async () => {
  const since = Date.now()
  await talos('labha-cp3', 'service', 'etcd', 'stop')
  const { code, output } = await upgrade({ ...after, HEALTH_TIMEOUT: '30s' })
  // Talos starts etcd with the machine only.
  await talos('labha-cp3', 'reboot', '--wait=false')
  assert.is((await nx('bootstrap:health', before)).code, 0)
  assert.not.equal(code, 0)
  assert.match(output, 'GATE_CLOSED')
  assert.match(output, /labha-cp3: its etcd does not answer/)
  assert.equal(restarts(cluster, since), [])
})

test('the upgrade restarts one control plane at a time, the leader last, and no write loses its quorum', async () => {
  const led = await leader()
  const since = Date.now()
  const watched = watch(cluster)
  const { code } = await upgrade(after)
  const { writes, failedWrites, longestGapMs, lostQuorum, mostDown } = await watched.stop()
  assert.is(code, 0)
  assert.equal(lostQuorum, [])
  assert.ok(mostDown <= 1, `${mostDown} control planes were down at once`)
  // Emulated machines are slow; a lost quorum would take minutes.
  const gap = `${Math.round(longestGapMs / 1000)} s without a write (${writes} done, ${failedWrites} failed)`
  assert.ok(longestGapMs < 60_000, gap)
  const order = restarts(cluster, since)
  assert.is(order.length, 4)
  assert.equal(order.slice(2), [led, 'labha-w1'])
  assert.equal(await nodeVersions(cluster), four(`${versions.talos} ${versions.kubernetesBefore}`))
})

test('then every component of Kubernetes is upgraded, without restarting a machine', async () => {
  const since = Date.now()
  assert.is((await upgrade(newest)).code, 0)
  assert.equal(await nodeVersions(cluster), four(`${versions.talos} ${versions.kubernetes}`))
  const pods = await access(cluster, 'kubectl', 'get', 'pods', '-A', '-o', 'jsonpath={..image}')
  assert.is(pods.split(' ').filter((image) => image.endsWith(':v1.36.2')).length, 0)
  assert.equal(restarts(cluster, since), [])
})

test('a second upgrade changes nothing at all', async () => {
  const state = await stateDigest(upgraded)
  const since = Date.now()
  assert.is((await upgrade(newest)).code, 0)
  assert.is(await stateDigest(upgraded), state)
  assert.equal(restarts(cluster, since), [])
})

test.run()
