import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { exportPath, kvm1 } from '../src/layout.ts'
import { access, killWhen, labCluster, nx, run, scriptOf, type Overrides } from './support.ts'

const cluster = await labCluster()
/** The export's folder on the server's disk. */
const served = join(kvm1.folder, 'root', exportPath)
const install = scriptOf('packages/storage/scripts/install.ts', '--cluster', 'lab')
const uninstall = scriptOf('packages/storage/scripts/uninstall.ts', '--cluster', 'lab')
/** Without npx, which handles signals differently. */
const node = (path: string): string[] => ['node', '--import', 'tsx', path, '--cluster', 'lab']
const verify = node('packages/storage/scripts/verify.ts')
const kubectl = (...args: string[]): Promise<string> => access(cluster, 'kubectl', ...args)

const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data, namespace: default }
spec:
  storageClassName: nfs-appdata
  accessModes: [ReadWriteMany]
  resources: { requests: { storage: 1Mi } }
---
apiVersion: v1
kind: Pod
metadata: { name: writer, namespace: default }
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
    - name: writer
      image: registry.k8s.io/e2e-test-images/busybox:1.29-4
      command: [sh, -c, echo kept > /data/file]
      volumeMounts: [{ name: data, mountPath: /data }]
  volumes:
    - name: data
      persistentVolumeClaim: { claimName: data }
`

/** Names and versions of the storage's objects, to verify that a run changed nothing. */
const state = (): Promise<string> =>
  kubectl(
    'get',
    'deployment,daemonset,storageclass,csidriver,serviceaccount,secret,persistentvolume',
    '--namespace=kube-system',
    '-o',
    'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation} {.metadata.uid}{"\\n"}{end}',
  )

test('cluster:up ends with verified storage', async () => {
  const { code } = await nx('cluster:up')
  assert.is(code, 0)
  const proven = await kubectl('get', 'storageclass', 'nfs-appdata', '-o', 'yaml')
  assert.match(proven, /talosmith\.dev\/proven: [0-9a-f]+/)
  assert.match(proven, /reclaimPolicy: Retain/)
  assert.match(proven, /volumeBindingMode: Immediate/)
})

test('storage:uninstall removes it', async () => {
  assert.is((await run(uninstall)).code, 0)
  assert.is(await kubectl('get', 'storageclass', '-o', 'name'), '')
  assert.not.match(await kubectl('-n', 'kube-system', 'get', 'pods', '-o', 'name'), /csi-nfs/)
})

const faults: [string, string, Overrides, number, RegExp][] = [
  [
    'a chart version that is not there',
    'CHART_VERSION_UNKNOWN',
    { NFS_CSI_VERSION: '9.9.9' },
    1,
    /9\.9\.9/,
  ],
  ['a share without a slash', 'SETTINGS_INVALID', { NFS_SHARE: 'srv/appdata' }, 78, /NFS_SHARE/],
  [
    'a server with a scheme',
    'SETTINGS_INVALID',
    { NFS_SERVER: 'nfs://10.213.77.2' },
    78,
    /NFS_SERVER/,
  ],
  [
    'a server with a port',
    'SETTINGS_INVALID',
    { NFS_SERVER: '10.213.77.2:2049' },
    78,
    /NFS_SERVER/,
  ],
  [
    'nfsvers=3 without nolock',
    'SETTINGS_INVALID',
    { NFS_MOUNT_OPTIONS: 'nfsvers=3' },
    78,
    /nolock/,
  ],
  ['a server that does not exist', 'NFS_NO_', { NFS_SERVER: '10.213.77.9' }, 1, /10\.213\.77\.9/],
  [
    'an export that does not exist',
    'NFS_EXPORT_MISSING',
    { NFS_SHARE: '/srv/none' },
    1,
    /\/srv\/none/,
  ],
  ['an export that is read-only', 'NFS_READ_ONLY', { NFS_SHARE: '/srv/readonly' }, 1, /read-only/],
  [
    'an export that squashes root',
    'NFS_NOT_WRITABLE',
    { NFS_SHARE: '/srv/squashed' },
    1,
    /root_squash/,
  ],
]
for (const [title, problem, overrides, exitCode, words] of faults)
  test(`storage:install rejects ${title}, and changes nothing`, async () => {
    const before = await state()
    const { code, output } = await run(install, overrides)
    assert.is(code, exitCode)
    assert.match(output, problem)
    assert.match(output, words)
    assert.is(await state(), before)
  })

// There is no cleanup between these runs.
for (const [place, when] of [
  ['while the nodes are checked', /waiting for every node to write|• Check that every node/],
  ['while helm works', /• Install the NFS driver/],
  ['while storage is proven', /• Prove storage/],
] as const)
  test(`storage:install is killed ${place}`, async () => {
    assert.is((await killWhen(when, install)).signal, 'SIGKILL')
  })

test('storage:install completes what was interrupted, and verifies it', async () => {
  const { code, output } = await run(install)
  assert.is(code, 0)
  assert.match(output, /Storage works: a claim on 10\.213\.77\.2:\/srv\/appdata was bound in/)
  // Kubernetes deletes a namespace's content asynchronously.
  const namespaces = (): Promise<string> => kubectl('get', 'namespaces', '-o', 'name')
  for (let tries = 0; tries < 30 && (await namespaces()).includes('talosmith-'); tries++)
    await sleep(2000)
  assert.not.match(await namespaces(), 'talosmith-')
})

test('a second storage:install changes nothing', async () => {
  const before = await state()
  const { code, output } = await run(install)
  assert.is(code, 0)
  assert.not.match(output, /•/)
  assert.is(await state(), before)
})

test('storage:verify writes on one node, reads on another, and leaves nothing behind', async () => {
  const { code, output } = await run([...verify, '--json'])
  assert.is(code, 0)
  const proof = JSON.parse(output.slice(output.indexOf('{\n'), output.lastIndexOf('}') + 1)) as {
    writer: string
    readers: string[]
    subDirectory: string
  }
  assert.is(proof.readers.includes(proof.writer), false)
  assert.is(existsSync(join(served, proof.subDirectory)), false, 'its folder is gone again')
})

/** The self-tests' folders on the server's disk, and their volumes. */
async function leftOfTests(): Promise<string[]> {
  const volumes = await kubectl(
    'get',
    'persistentvolumes',
    '-o',
    'jsonpath={range .items[*]}{.metadata.name} {.spec.claimRef.namespace}{"\\n"}{end}',
  )
  return [...readdirSync(served), ...volumes.split('\n')].filter((name) =>
    name.includes('talosmith-storage-'),
  )
}

for (const [signal, when, end] of [
  ['SIGKILL', /waiting for (the claim to be bound|.* to write)/, 'SIGKILL'],
  ['SIGKILL', /waiting for .* to write through a claim/, 'SIGKILL'],
  ['SIGINT', /waiting for .* to read it/, 1],
] as const)
  test(`the next run removes what storage:verify leaves behind after ${signal} at "${when.source}"`, async () => {
    const killed = await killWhen(when, verify, {}, signal)
    assert.is(killed.signal ?? killed.code, end)
    // The driver completes what it has started, even if no client waits for it any more.
    for (let tries = 0; tries < 10 && (await leftOfTests()).length === 0; tries++) await sleep(1000)
    assert.ok((await leftOfTests()).length > 0, 'there is something to remove')
    assert.is((await run(verify)).code, 0)
    assert.equal(await leftOfTests(), [])
  })

test('storage:verify reports a provisioner that does not run', async () => {
  const deployment = ['--namespace=kube-system', 'deployment/csi-nfs-controller']
  const replicas = await kubectl('get', ...deployment, '-o', 'jsonpath={.spec.replicas}')
  await kubectl('scale', ...deployment, '--replicas=0')
  try {
    const { code, output } = await run(verify)
    assert.is(code, 1)
    assert.match(output, 'PROVISIONER_NOT_RUNNING')
    assert.match(output, 'csi-nfs-controller')
  } finally {
    await kubectl('scale', ...deployment, `--replicas=${replicas}`)
    await kubectl('rollout', 'status', ...deployment, '--timeout=90s')
  }
})

test('a deleted driver is in the plan, and storage:install restores it', async () => {
  const daemonSet = ['--namespace=kube-system', 'daemonset/csi-nfs-node']
  await kubectl('delete', ...daemonSet, '--cascade=foreground', '--timeout=90s')
  const { output } = await run([...install, '--dry-run'])
  assert.match(output, /Bring back what is missing of the NFS driver .*csi-nfs-node/)
  assert.is((await run(install)).code, 0)
  assert.not.match((await run(install)).output, /•/)
})

test("a claim's file is on the server's disk, in a folder named after the claim", async () => {
  const file = join(temporaryFolder('e2e'), 'claim.yaml')
  writeFileSync(file, claim)
  await kubectl('apply', '-f', file)
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/writer', '--timeout=90s')
  const [folder] = readdirSync(served).filter((name) => name.startsWith('default-data-pvc-'))
  assert.is(readFileSync(join(served, folder ?? '', 'file'), 'utf8'), 'kept\n')
})

test('storage:uninstall fails while a claim is open, and reports it', async () => {
  const before = await state()
  const { code, output } = await run(uninstall)
  assert.is(code, 1)
  assert.match(output, /CLAIMS_OPEN/)
  assert.match(output, /default\/data/)
  assert.is(await state(), before)
})

test('the plan shows both removals when NFS_SERVER is cleared', async () => {
  const { code, output } = await run([...node('scripts/plan.ts'), '--json'], { NFS_SERVER: '' })
  assert.is(code, 2)
  const [json = ''] = /^\{[\s\S]*^\}/m.exec(output) ?? []
  const { parts } = JSON.parse(json) as {
    parts: { part: string; changes: { kind: string }[] }[]
  }
  assert.equal(
    parts.find(({ part }) => part === 'storage')?.changes.map(({ kind }) => kind),
    ['remove-storage-class', 'remove-release'],
  )
})

test('storage:uninstall with CONFIRM ignores an open claim, and leaves its data', async () => {
  assert.is((await run(uninstall, { CONFIRM: 'lab' })).code, 0)
  assert.is(await kubectl('get', 'storageclass', '-o', 'name'), '')
  assert.is(await kubectl('get', 'pvc', 'data', '-o', 'jsonpath={.status.phase}'), 'Bound')
  const [folder] = readdirSync(served).filter((name) => name.startsWith('default-data-pvc-'))
  assert.is(readFileSync(join(served, folder ?? '', 'file'), 'utf8'), 'kept\n')
  assert.is((await run(install)).code, 0)
})

test('storage:uninstall works once the claim is gone; the data stays on the server', async () => {
  await kubectl('delete', 'pod/writer', 'pvc/data', '--timeout=60s')
  assert.is((await run(uninstall)).code, 0)
  assert.is(await kubectl('get', 'storageclass', '-o', 'name'), '')
  assert.ok(readdirSync(served).some((name) => name.startsWith('default-data-pvc-')))
})

test.run()
