import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAllDocuments } from 'yaml'
import { contractOf, renderPatch } from '../src/contract.ts'

const versions: [string, boolean][] = [
  ['v1.9.6', false],
  ['v1.10.9', false],
  ['v1.11.6', false],
  ['v1.12.0-alpha.1', true],
  ['v1.12.11', true],
  ['v1.13.9', true],
  ['v1.14.0-rc.1', true],
  ['v1.14.2', true],
]
for (const [version, hasVipDocument] of versions)
  test(`Talos ${version} has the VIP ${hasVipDocument ? 'in a document' : 'in machine.network'}`, () => {
    assert.is(contractOf(version).hasVipDocument, hasVipDocument)
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

test('no version has the host name in the config: the seed gives it', () => {
  for (const [version] of versions.filter(([name]) => /^v1\.(10|12|13)\.\d+$/.test(name))) {
    const cluster = testCluster({ TALOS_VERSION: version, KUBERNETES_VERSION: 'v1.33.0' })
    assert.not.match(renderPatch(cluster, { role: 'controlplane' }), /[hH]ostname/)
  }
})

test.run()
