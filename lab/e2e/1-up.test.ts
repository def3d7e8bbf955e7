import { rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kvm1 } from '../src/layout.ts'
import type { LabStatus } from '../src/status.ts'
import { allLeaks, allSecrets } from './leaks.ts'
import { plant, plantedPatch } from './planted.ts'
import {
  access,
  stateDigest,
  killWhen,
  kubernetesNodes,
  labCluster,
  nx,
  removeCluster,
  run,
  scriptOf,
} from './support.ts'
import { watchHost } from './watch-host.ts'

const cluster = await labCluster()

test('the lab starts', async () => {
  assert.is((await nx('lab:start')).code, 0)
  await removeCluster()
})

// Each run is killed in the middle of its work; what it left behind must not break the next one.
const killed: [string, RegExp, string][] = [
  ['image:download', /• .*[Dd]ownload/, 'packages/image/scripts/download.ts'],
  ['vm:create', /✓ Define/, 'packages/vm/scripts/create.ts'],
  [
    'bootstrap:configure',
    /✓ Apply the machine config of lab-/,
    'packages/bootstrap/scripts/configure.ts',
  ],
  ['bootstrap:start', /• .*[Bb]ootstrap/, 'packages/bootstrap/scripts/start.ts'],
]
for (const [stage, when, path] of killed)
  test(`${stage} is killed in the middle`, async () => {
    if (stage === 'image:download') await nx('image:build')
    const { signal } = await killWhen(when, scriptOf(path, '--cluster', 'lab'))
    assert.is(signal, 'SIGKILL')
    if (stage !== 'bootstrap:start') assert.is((await nx(stage)).code, 0)
  })

test('cluster:up completes what was interrupted, and prints how to use the cluster', async () => {
  const { code, output } = await nx('cluster:up')
  assert.is(code, 0)
  assert.match(output, /export KUBECONFIG=.*generated\/lab\/kubeconfig/)
})

test('no secret is in the output, an argument, a record, or a file of the host', async () => {
  const known = allSecrets()
  assert.ok(known.length > 20, `only ${known.length} texts are known to be secret`)
  assert.equal(await allLeaks(), [])
})

test('a misspelt key in a patch is named, and its value is not', async () => {
  const { word } = plant()
  const patch = join(dirname(plantedPatch), 'all-misspelt.yaml')
  writeFileSync(patch, `machine:\n  registry: { password: ${word}-misspelt }\n`)
  try {
    const { output } = await run(scriptOf('scripts/plan.ts', '--cluster', 'lab'))
    assert.match(output, 'CONFIG_INVALID')
    assert.match(output, 'machine.registry')
    assert.not.match(output, word)
  } finally {
    rmSync(patch)
  }
})

test('kubectl shows every machine Ready, with the configured versions and addresses', async () => {
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

test('talosctl reports the same members, version and etcd', async () => {
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

test('every machine runs the configured version of Talos', async () => {
  const addresses = cluster.nodes.map(({ address }) => address)
  const output = await access(cluster, 'talosctl', '-n', addresses.join(','), 'version', '--short')
  const [, server = ''] = output.split('Server:')
  for (const address of addresses) assert.match(server, new RegExp(`NODE: +${address}$`, 'm'))
  assert.equal(
    [...server.matchAll(/Tag: +(\S+)/g)].map(([, tag]) => tag),
    addresses.map(() => cluster.settings.TALOS_VERSION),
  )
})

test('a stage alone reports that there is nothing to do', async () => {
  const script = scriptOf('packages/vm/scripts/create.ts', '--cluster', 'lab', '--dry-run')
  const { code, output } = await run(script)
  assert.is(code, 0)
  assert.match(output, 'Nothing to do')
})

test('each machine has its configured memory, and the lab uses less than 4 GiB of disk', async () => {
  const { code, output } = await run(scriptOf('lab/scripts/status.ts', '--json'))
  assert.is(code, 0)
  const [json = ''] = /^\{[\s\S]*^\}/m.exec(output) ?? []
  const { up, guests, disk } = JSON.parse(json) as LabStatus
  assert.ok(up)
  assert.equal(guests.map(({ name, givenMib }) => `${name} ${givenMib}`).sort(), [
    'lab-cp1 2048',
    'lab-w1 1024',
    'lab-w2 1024',
  ])
  for (const { name, memoryMib = 0, givenMib } of guests)
    assert.ok(memoryMib > 0 && memoryMib < givenMib + 512, `${name} holds ${memoryMib} MiB`)
  assert.ok(disk.labMib > 0 && disk.labMib < 4096, `.lab takes ${disk.labMib} MiB`)
})

test('a second cluster:up changes nothing at all', async () => {
  const before = await stateDigest(cluster)
  const stop = watchHost(kvm1)
  const { code } = await nx('cluster:up')
  const { observed, changing } = stop()
  assert.is(code, 0)
  assert.ok(observed.length > 5, `observed on the host only: ${observed.join('; ')}`)
  assert.equal(changing, [])
  assert.is(await stateDigest(cluster), before)
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
