import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { exportPath, kvm1 } from '../src/layout.ts'
import { access, killWhen, labCluster, nx, run, scriptOf, type Overrides } from './support.ts'

const cluster = await labCluster()
/** The export as the server's own disk shows it. */
const served = join(kvm1.folder, 'root', exportPath)
const install = scriptOf('packages/storage/scripts/install.ts', '--cluster', 'lab')
const uninstall = scriptOf('packages/storage/scripts/uninstall.ts', '--cluster', 'lab')
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

/** Names and versions of what storage consists of: what a run that changes nothing leaves the same. */
const state = (): Promise<string> =>
  kubectl(
    'get',
    'deployment,daemonset,storageclass,csidriver,serviceaccount,secret,persistentvolume',
    '--namespace=kube-system',
    '-o',
    'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation} {.metadata.uid}{"\\n"}{end}',
  )

test('cluster:up ends with storage that was proven', async () => {
  const { code } = await nx('cluster:up')
  assert.is(code, 0)
  const proven = await kubectl('get', 'storageclass', 'nfs-appdata', '-o', 'yaml')
  assert.match(proven, /talosmith\.dev\/proven: [0-9a-f]+/)
  assert.match(proven, /reclaimPolicy: Retain/)
  assert.match(proven, /volumeBindingMode: Immediate/)
})

test('storage:uninstall takes it away', async () => {
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
  ['a server that is not there', 'NFS_NO_', { NFS_SERVER: '10.213.77.9' }, 1, /10\.213\.77\.9/],
  [
    'an export that is not there',
    'NFS_EXPORT_MISSING',
    { NFS_SHARE: '/srv/none' },
    1,
    /\/srv\/none/,
  ],
  ['an export that is read-only', 'NFS_READ_ONLY', { NFS_SHARE: '/srv/readonly' }, 1, /read-only/],
]
for (const [fault, problem, overrides, exitCode, words] of faults)
  test(`storage:install refuses ${fault}, and changes nothing`, async () => {
    const before = await state()
    const { code, output } = await run(install, overrides)
    assert.is(code, exitCode)
    assert.match(output, problem)
    assert.match(output, words)
    assert.is(await state(), before)
  })

// Between these runs nobody cleans up.
for (const [place, when] of [
  ['while the nodes are checked', /waiting for every node to write|• Check that every node/],
  ['while helm works', /• Install the NFS driver/],
  ['while storage is proven', /• Prove storage/],
] as const)
  test(`storage:install is ended by SIGKILL ${place}`, async () => {
    assert.is((await killWhen(when, install)).signal, 'SIGKILL')
  })

test('storage:install finishes what was killed, with the proof', async () => {
  const { code, output } = await run(install)
  assert.is(code, 0)
  assert.match(output, /Storage works: a claim on 10\.213\.77\.2:\/srv\/appdata was bound in/)
  // Kubernetes takes its time to empty a namespace.
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
  const { code, output } = await run([
    ...scriptOf('packages/storage/scripts/verify.ts', '--cluster', 'lab', '--json'),
  ])
  assert.is(code, 0)
  const proof = JSON.parse(output.slice(output.indexOf('{\n'), output.lastIndexOf('}') + 1)) as {
    writer: string
    readers: string[]
    subDirectory: string
  }
  assert.is(proof.readers.includes(proof.writer), false)
  assert.is(existsSync(join(served, proof.subDirectory)), false, 'its folder is gone again')
})

test("a claim's file is on the server's disk, in a folder that says whose it is", async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'talosmith-e2e-')), 'claim.yaml')
  writeFileSync(file, claim)
  await kubectl('apply', '-f', file)
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/writer', '--timeout=90s')
  const [folder] = readdirSync(served).filter((name) => name.startsWith('default-data-pvc-'))
  assert.is(readFileSync(join(served, folder ?? '', 'file'), 'utf8'), 'kept\n')
})

test('storage:uninstall is refused while a claim is open, and names it', async () => {
  const before = await state()
  const { code, output } = await run(uninstall)
  assert.is(code, 1)
  assert.match(output, /CLAIMS_OPEN/)
  assert.match(output, /default\/data/)
  assert.is(await state(), before)
})

test('storage:uninstall works once the claim is gone; the data stays on the server', async () => {
  await kubectl('delete', 'pod/writer', 'pvc/data', '--timeout=60s')
  assert.is((await run(uninstall)).code, 0)
  assert.is(await kubectl('get', 'storageclass', '-o', 'name'), '')
  assert.ok(readdirSync(served).some((name) => name.startsWith('default-data-pvc-')))
})

test.run()
