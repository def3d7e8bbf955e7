import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  access,
  kubernetesNodes,
  labCluster,
  nx,
  removeCluster,
  run,
  scriptOf,
} from '../e2e/support.ts'

const overrides = {
  CLUSTER_NAME: 'labup',
  CONTROL_PLANE_COUNT: '3',
  CONTROL_PLANE_CPU: '1',
  WORKER_COUNT: '1',
  NFS_SERVER: '',
  CLUSTER_VIP: '10.213.77.61',
  HEALTH_TIMEOUT: '60m',
}
const cluster = await labCluster(overrides)

async function markers(): Promise<string> {
  return access(cluster, 'kubectl', 'get', 'configmaps', '-o', 'name')
}

test('a cluster of three control planes and a worker is there', async () => {
  assert.is((await nx('lab:start')).code, 0)
  await removeCluster(overrides)
  assert.is((await nx('cluster:up', overrides)).code, 0)
})

test('a snapshot is taken between two markers', async () => {
  await access(cluster, 'kubectl', 'create', 'configmap', 'first')
  assert.is((await nx('bootstrap:backup', overrides)).code, 0)
  await access(cluster, 'kubectl', 'create', 'configmap', 'second')
})

test('bootstrap:restore leaves control planes with data alone', async () => {
  const { code, output } = await nx('bootstrap:restore', overrides)
  assert.not.equal(code, 0)
  assert.match(output, 'RESTORE_REFUSED')
  assert.match(await markers(), 'configmap/second')
})

test('cluster:restore without CONFIRM changes nothing', async () => {
  const { code, output } = await nx('cluster:restore', overrides)
  assert.not.equal(code, 0)
  assert.match(output, 'CONFIRM_MISSING')
  assert.match(await markers(), 'configmap/second')
})

test('control planes on empty disks have what the snapshot had, and nothing later', async () => {
  assert.is((await nx('cluster:restore', { ...overrides, CONFIRM: 'labup' })).code, 0)
  const found = await markers()
  assert.match(found, 'configmap/first')
  assert.not.match(found, 'configmap/second')
  const nodes = await kubernetesNodes(cluster)
  assert.is(nodes.length, 4)
  for (const { status } of nodes)
    assert.is(status.conditions.find(({ type }) => type === 'Ready')?.status, 'True')
})

test('it is so after another restart of every control plane, too', async () => {
  for (const { address } of cluster.controlPlanes) {
    await access(cluster, 'talosctl', '-e', address, '-n', address, 'reboot', '--wait=false')
    assert.is((await nx('bootstrap:health', overrides)).code, 0)
  }
  assert.match(await markers(), 'configmap/first')
  await run(scriptOf('packages/bootstrap/scripts/health.ts', '--cluster', 'lab'), overrides)
})

test('the cluster goes again', async () => {
  await removeCluster(overrides)
})

test.run()
