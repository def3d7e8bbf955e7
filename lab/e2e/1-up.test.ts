import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kvm1 } from '../src/layout.ts'
import {
  access,
  fingerprint,
  killWhen,
  kubernetesNodes,
  labCluster,
  nx,
  removeCluster,
  scriptOf,
} from './support.ts'
import { watchHost } from './watch-host.ts'

const cluster = await labCluster()

test('the lab starts', async () => {
  assert.is((await nx('lab:start')).code, 0)
  await removeCluster()
})

// Each run is ended by SIGKILL in the middle of its work; what it left behind must not hinder the next.
const killed: [string, RegExp, string][] = [
  ['image:download', /• .*[Dd]ownload/, 'packages/image/scripts/download.ts'],
  ['vm:create', /✓ Define/, 'packages/vm/scripts/create.ts'],
  ['bootstrap:configure', /✓ Give lab-/, 'packages/bootstrap/scripts/configure.ts'],
  ['bootstrap:start', /• .*[Bb]ootstrap/, 'packages/bootstrap/scripts/start.ts'],
]
for (const [stage, when, path] of killed)
  test(`${stage} is ended by SIGKILL in the middle`, async () => {
    if (stage === 'image:download') await nx('image:build')
    const { signal } = await killWhen(when, scriptOf(path, '--cluster', 'lab'))
    assert.is(signal, 'SIGKILL')
    if (stage !== 'bootstrap:start') assert.is((await nx(stage)).code, 0)
  })

test('cluster:up finishes what was killed, and says how to use the cluster', async () => {
  const { code, output } = await nx('cluster:up')
  assert.is(code, 0)
  assert.match(output, /export KUBECONFIG=.*generated\/lab\/kubeconfig/)
})

test('kubectl sees every machine Ready, with the asked versions and addresses', async () => {
  const nodes = await kubernetesNodes(cluster)
  assert.equal(
    nodes.map(({ metadata }) => metadata.name),
    ['lab-cp1', 'lab-w1', 'lab-w2'],
  )
  for (const { metadata, status } of nodes) {
    const node = cluster.nodes.find(({ name }) => name === metadata.name)
    assert.is(status.nodeInfo.kubeletVersion, cluster.settings.KUBERNETES_VERSION)
    assert.match(status.nodeInfo.osImage, cluster.settings.TALOS_VERSION)
    assert.is(status.addresses.find(({ type }) => type === 'InternalIP')?.address, node?.address)
    assert.is(status.conditions.find(({ type }) => type === 'Ready')?.status, 'True')
  }
})

test('talosctl agrees about members, version and etcd', async () => {
  const [controlPlane] = cluster.controlPlanes
  const members = await access(
    cluster,
    'talosctl',
    '-n',
    controlPlane?.address ?? '',
    'get',
    'members',
  )
  for (const { name, address } of cluster.nodes) {
    assert.match(members, name)
    assert.match(members, address)
  }
  const etcd = await access(
    cluster,
    'talosctl',
    '-n',
    controlPlane?.address ?? '',
    'etcd',
    'members',
  )
  assert.match(etcd, 'lab-cp1')
})

test('a second cluster:up changes nothing at all', async () => {
  const before = await fingerprint(cluster)
  const stop = watchHost(kvm1)
  const { code } = await nx('cluster:up')
  const { seen, changing } = stop()
  assert.is(code, 0)
  assert.ok(seen.length > 5, `only seen on the host: ${seen.join('; ')}`)
  assert.equal(changing, [])
  assert.is(await fingerprint(cluster), before)
})

test('a deployment reaches its replicas', async () => {
  await access(
    cluster,
    'kubectl',
    'create',
    'deployment',
    'web',
    '--image=registry.k8s.io/pause:3.10',
    '--replicas=3',
  )
  await access(cluster, 'kubectl', 'rollout', 'status', 'deployment/web', '--timeout=90s')
  await access(cluster, 'kubectl', 'delete', 'deployment', 'web')
})

test.run()
