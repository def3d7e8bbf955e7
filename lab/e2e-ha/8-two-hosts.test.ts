/** A cluster over two hosts whose pools and bridges have other names; one of them fails and returns. */
import { createLog, local } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kubernetesNodes, labCluster, nx, removeCluster, run, scriptOf } from '../e2e/support.ts'
import { kvm1, kvm2, libvirtUri, type LabHost } from '../src/layout.ts'
import { startSecondHost, stopHost } from '../src/lab.ts'
import { inside } from '../src/namespace.ts'

const two = {
  CLUSTER_NAME: 'labtwo',
  CONTROL_PLANE_CPU: '1',
  WORKER_COUNT: '1',
  NFS_SERVER: '',
  LIBVIRT_URI: `one=${libvirtUri(`root@${kvm1.address}`)}, two=${libvirtUri(`root@${kvm2.address}`)}`,
  HOST_TWO_STORAGE_POOL: kvm2.pool.name,
  HOST_TWO_NETWORK_BRIDGE: kvm2.bridge,
  PLACE_W1: 'two',
}

const machinesOn = async (host: LabHost): Promise<string[]> =>
  (await local.$`${inside(host)} virsh -q -c qemu:///system list --all --name`).stdout
    .split('\n')
    .filter(Boolean)

test('two hosts are up, and nothing is on them', async () => {
  assert.is((await nx('lab:start')).code, 0)
  for (const overrides of [{}, { CLUSTER_NAME: 'labdx' }, { CLUSTER_NAME: 'labha' }])
    await removeCluster(overrides)
  await startSecondHost(kvm2, createLog())
})

test('each machine is on its host, with the pool and the bridge of that host', async () => {
  assert.is((await nx('cluster:up', two)).code, 0)
  assert.equal(await machinesOn(kvm1), ['labtwo-cp1'])
  assert.equal(await machinesOn(kvm2), ['labtwo-w1'])
  const nodes = await kubernetesNodes(await labCluster(two))
  assert.equal(
    nodes.map(({ metadata }) => metadata.name),
    ['labtwo-cp1', 'labtwo-w1'],
  )
})

test('a host that fails is named by status, plan and diagnose, and its machine is not made elsewhere', async () => {
  await stopHost(kvm2)
  for (const script of ['status', 'plan', 'diagnose']) {
    const { output } = await run(scriptOf(`scripts/${script}.ts`), two)
    assert.match(output, kvm2.address, script)
    assert.match(output, 'labtwo-w1', script)
  }
  const { code, output } = await nx('cluster:up', two)
  assert.is.not(code, 0)
  assert.match(output, kvm2.address)
  assert.equal(await machinesOn(kvm1), ['labtwo-cp1'])
})

test('cluster:up repairs the cluster once the host is back', async () => {
  await startSecondHost(kvm2, createLog())
  assert.is((await nx('cluster:up', two)).code, 0)
  assert.equal(await machinesOn(kvm2), ['labtwo-w1'])
  assert.is((await run(scriptOf('scripts/plan.ts'), two)).code, 0)
})

test('cluster:destroy removes the machines of both hosts', async () => {
  assert.is((await nx('cluster:destroy', { ...two, CONFIRM: 'labtwo' })).code, 0)
  for (const host of [kvm1, kvm2]) {
    assert.equal(await machinesOn(host), [])
    const { stdout } = await local.$`${inside(host)} find /var/lib/libvirt -name ${'labtwo*'}`
    assert.is(stdout, '')
  }
  await stopHost(kvm2)
})

test.run()
