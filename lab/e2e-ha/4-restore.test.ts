import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hostFiles } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { assertRefused } from '../e2e/refused.ts'
import {
  access,
  kubernetesNodes,
  labCluster,
  nx,
  removeCluster,
  threeUpgraded,
  withHost,
} from '../e2e/support.ts'
import { talos } from './three.ts'

const cluster = await labCluster(threeUpgraded)

async function markers(): Promise<string> {
  return access(cluster, 'kubectl', 'get', 'configmaps', '-o', 'name')
}

/** Empty while the machine does not answer. */
async function bootId(address: string): Promise<string> {
  const file = '/proc/sys/kernel/random/boot_id'
  return access(cluster, 'talosctl', '-e', address, '-n', address, 'read', file).catch(() => '')
}

test('a cluster of three control planes and a worker is running', async () => {
  assert.is((await nx('lab:start')).code, 0)
  assert.is((await nx('cluster:up', threeUpgraded)).code, 0)
})

test('a backup is taken between two markers', async () => {
  await access(cluster, 'kubectl', 'create', 'configmap', 'first')
  assert.is((await nx('bootstrap:backup', threeUpgraded)).code, 0)
  await access(cluster, 'kubectl', 'create', 'configmap', 'second')
})

test('bootstrap:restore does not change control planes with data', async () => {
  const { code, output } = await nx('bootstrap:restore', threeUpgraded)
  assert.not.equal(code, 0)
  assert.match(output, 'RESTORE_REFUSED')
  assert.match(await markers(), 'configmap/second')
})

test('cluster:restore without CONFIRM changes nothing', async () => {
  const { code, output } = await nx('cluster:restore', threeUpgraded)
  assert.not.equal(code, 0)
  assert.match(output, 'CONFIRM_MISSING')
  assert.match(await markers(), 'configmap/second')
})

const one = { ...threeUpgraded, CONTROL_PLANE_COUNT: '1' }
for (const target of ['cluster:restore', 'cluster:regenerate-secrets'])
  test(`${target} with a lowered CONTROL_PLANE_COUNT is refused, and changes nothing`, async () => {
    await assertRefused(cluster, 'CONTROL_PLANES_LEFT', { ...one, CONFIRM: 'labha' }, target)
  })

test('cluster:up with a lowered CONTROL_PLANE_COUNT bootstraps no etcd beside the data of the others', async () => {
  const files = hostFiles(cluster, '/var/lib/libvirt/images')
  const name = 'labha-cp1'
  await withHost(
    cluster,
    ({ $ }) => $`virsh -q destroy ${name}; virsh -q undefine --nvram ${name}
rm ${files.disk({ name })} ${files.seed({ name })}`,
  )
  // Without a quorum no API server answers, which would show that the cluster exists.
  for (const other of ['labha-cp2', 'labha-cp3']) await talos(other, 'service', 'etcd', 'stop')
  const { code, output } = await nx('cluster:up', one)
  // Talos starts etcd with the machine only.
  for (const other of ['labha-cp2', 'labha-cp3']) await talos(other, 'reboot', '--wait=false')
  assert.not.equal(code, 0)
  assert.match(output, 'CONTROL_PLANES_LEFT')
  assert.match(output, 'labha-cp2')
  assert.match(output, 'set CONTROL_PLANE_COUNT=3 again')
  let found = ''
  for (let tries = 0; tries < 100 && found === ''; tries++) {
    await sleep(3000)
    found = await markers().catch(() => '')
  }
  assert.match(found, 'configmap/second')
})

test('control planes on empty disks have the data of the backup, and nothing later', async () => {
  // As on a new computer: settings, secrets and the backup.
  for (const name of ['kubeconfig', 'talosconfig']) rmSync(join(cluster.generated, name))
  assert.is((await nx('cluster:restore', { ...threeUpgraded, CONFIRM: 'labha' })).code, 0)
  const found = await markers()
  assert.match(found, 'configmap/first')
  assert.not.match(found, 'configmap/second')
  const nodes = await kubernetesNodes(cluster)
  assert.is(nodes.length, 4)
  for (const { status } of nodes)
    assert.is(status.conditions.find(({ type }) => type === 'Ready')?.status, 'True')
})

test('the restored data survives a restart of every control plane', async () => {
  for (const { address } of cluster.controlPlanes) {
    const before = await bootId(address)
    await access(cluster, 'talosctl', '-e', address, '-n', address, 'reboot', '--wait=false')
    for (let tries = 0; tries < 100 && [before, ''].includes(await bootId(address)); tries++)
      await sleep(3000)
    assert.not.equal(await bootId(address), before)
    assert.is((await nx('bootstrap:health', threeUpgraded)).code, 0)
  }
  const found = await markers()
  assert.match(found, 'configmap/first')
  assert.not.match(found, 'configmap/second')
})

test('the cluster is removed completely', async () => {
  await removeCluster(threeUpgraded)
  const left = await withHost(
    cluster,
    ({ $ }) => $`virsh -q list --all --name; ls /var/lib/libvirt/images`,
  )
  assert.not.match(left.stdout, /labha/)
})

test.run()
