import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAllDocuments } from 'yaml'
import { contractOf, renderPatch } from '../../src/config/contract.ts'

const versions: [string, string][] = [
  ['v1.9.6', 'none'],
  ['v1.10.9', 'none'],
  ['v1.11.6', 'none'],
  ['v1.12.0-alpha.1', 'the VIP'],
  ['v1.12.11', 'the VIP'],
  ['v1.13.9', 'the VIP'],
  ['v1.14.0-rc.1', 'the VIP and the node'],
  ['v1.14.2', 'the VIP and the node'],
]
for (const [version, documented] of versions)
  test(`Talos ${version} has documents of their own for: ${documented}`, () => {
    assert.equal(contractOf(version), {
      hasVipDocument: documented.includes('VIP'),
      hasNodeDocument: documented.includes('node'),
    })
  })

const vip = {
  CONTROL_PLANE_COUNT: '3',
  CLUSTER_VIP: '10.0.0.60',
  KUBERNETES_VERSION: 'v1.33.0',
}
const documents = (text: string): unknown[] =>
  parseAllDocuments(text).map((document) => document.toJS() as unknown)
const watchdog = {
  apiVersion: 'v1alpha1',
  kind: 'WatchdogTimerConfig',
  device: '/dev/watchdog0',
  timeout: '5m0s',
}

test('before 1.12 the VIP is a part of the interface', () => {
  const cluster = testCluster({ ...vip, TALOS_VERSION: 'v1.11.6' })
  assert.equal(documents(renderPatch(cluster, { role: 'controlplane' })), [
    { machine: { network: { interfaces: [{ interface: 'eth0', vip: { ip: '10.0.0.60' } }] } } },
    watchdog,
  ])
})

test('from 1.12 on the VIP is a document, and nothing of machine.network is used', () => {
  const cluster = testCluster({ ...vip, TALOS_VERSION: 'v1.13.9' })
  assert.equal(documents(renderPatch(cluster, { role: 'controlplane' })), [
    { apiVersion: 'v1alpha1', kind: 'Layer2VIPConfig', name: '10.0.0.60', link: 'eth0' },
    watchdog,
  ])
})

test('workers have no VIP', () => {
  const cluster = testCluster({ ...vip, TALOS_VERSION: 'v1.13.9' })
  assert.equal(documents(renderPatch(cluster, { role: 'worker' })), [watchdog])
})

test('control planes take workloads only when there are no workers', () => {
  const alone = testCluster({ WORKER_COUNT: '0' })
  assert.equal(documents(renderPatch(alone, { role: 'controlplane' })), [
    { cluster: { allowSchedulingOnControlPlanes: true } },
    watchdog,
  ])
  assert.equal(documents(renderPatch(testCluster(), { role: 'controlplane' })), [watchdog])
})

test('from 1.14 on they do so without the taint, and without the old field', () => {
  const alone = { WORKER_COUNT: '0', TALOS_VERSION: 'v1.14.1', KUBERNETES_VERSION: 'v1.36.0' }
  const cluster = testCluster(alone)
  assert.equal(documents(renderPatch(cluster, { role: 'controlplane' })), [
    {
      apiVersion: 'v1alpha1',
      kind: 'KubeNodeConfig',
      taints: { 'node-role.kubernetes.io/control-plane': { $patch: 'delete' } },
    },
    watchdog,
  ])
})

test('no version has the host name in the config: the seed gives it', () => {
  for (const [version] of versions.filter(([name]) => /^v1\.(10|12|13)\.\d+$/.test(name))) {
    const cluster = testCluster({ TALOS_VERSION: version, KUBERNETES_VERSION: 'v1.33.0' })
    assert.not.match(renderPatch(cluster, { role: 'controlplane' }), /[hH]ostname/)
  }
})

test.run()
