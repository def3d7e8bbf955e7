import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog, type Problem } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type {
  DeploymentObject,
  EventObject,
  Kubernetes,
  PodObject,
} from '@talosmith/clients/kubernetes'
import { readWorkloads } from '../../src/observe.ts'
import { chooseNodes } from '../../src/proof/proof.ts'
import { testPod } from '../../src/proof/pods.ts'
import { awaitPods, exportVolume, podCause, warningsOf } from '../../src/proof/run.ts'
import { fakeApi } from '../support/fake-api.ts'

const nfs = { server: '10.0.0.5', share: '/srv/appdata' }
const recorded = (name: string): { pod: PodObject; events: EventObject[] } =>
  JSON.parse(readFileSync(join(import.meta.dirname, '..', 'fixtures', 'events', name), 'utf8'))

/** The API of a cluster with one pod, as it is at each look, and these events. */
const holding = (pod: () => PodObject, events: readonly EventObject[]): Kubernetes =>
  fakeApi((path) =>
    path.endsWith('/pods') ? [pod()] : path.endsWith('/events') ? events : undefined,
  ).kubernetes

for (const [file, code] of [
  ['mount-refused.json', 'NFS_REFUSED'],
  ['driver-missing.json', 'DRIVER_NOT_ON_NODE'],
  ['image-missing.json', 'TEST_IMAGE_MISSING'],
  ['squashed-root.json', 'NFS_NOT_WRITABLE'],
] as const)
  test(`${file}: pod and events name ${code}`, () => {
    const { pod, events } = recorded(file)
    const cause = podCause(pod, events, nfs)
    assert.is(cause?.code, code)
    assert.match(cause?.message ?? '', 'home-w1')
  })

test('a pod that never starts is told with the last warning about it, known cause or not', async () => {
  const { pod, events } = recorded('mount-refused.json')
  const strange = events.map((event) => ({
    ...event,
    message: 'mount.nfs: No such device',
  }))
  const options = { fact: 'the pod to end', nfs, log: silentLog, withinMs: 1 }
  const [cause] = await awaitPods(
    holding(() => pod, strange),
    'ns',
    options,
  )
  assert.is(cause?.code, 'STORAGE_TEST_FAILED')
  assert.match(cause?.because ?? '', 'mount.nfs: No such device')
})

const waiting = (pod: PodObject, events: EventObject[], withinMs: number) =>
  awaitPods(
    holding(() => pod, events),
    'ns',
    { fact: 'the pod to end', nfs, log: silentLog, withinMs },
  )

test('a pod that failed is told at once, also for what may pass: it is never restarted', async () => {
  const { pod } = recorded('squashed-root.json')
  const terminated = { exitCode: 1, message: 'nc: timed out' }
  const failed = {
    ...pod,
    status: { phase: 'Failed', containerStatuses: [{ state: { terminated } }] },
  }
  const [cause] = await waiting(failed, [], 60_000)
  assert.is(cause?.code, 'NFS_NO_ANSWER')
})

test('a refused mount ends the wait when it has lasted, not when it is first observed', async () => {
  const { pod, events } = recorded('mount-refused.json')
  let looks = 0
  const kubernetes = holding(() => {
    looks += 1
    return looks > 1 ? { ...pod, status: { phase: 'Succeeded' } } : pod
  }, events)
  const options = { fact: 'the pod to end', nfs, log: silentLog, withinMs: 60_000 }
  assert.equal(await awaitPods(kubernetes, 'ns', options), [])
  assert.is(looks, 2)
})

test("another pod's warnings and ordinary events are no clues", () => {
  const { pod, events } = recorded('mount-refused.json')
  const others = events.map((event) => ({
    ...event,
    involvedObject: { kind: 'Pod', name: 'another' },
  }))
  assert.is(podCause(pod, others, nfs), undefined)
  const ordinary = events.map((event) => ({ ...event, type: 'Normal' }))
  assert.equal(warningsOf('Pod', pod.metadata.name, ordinary), [])
})

test('the export is mounted with the options of the settings, and gives up at once', () => {
  const [volume, claim] = exportVolume('talosmith-storage-write-1', nfs, ['nfsvers=4.1'])
  assert.equal(volume.spec?.mountOptions, ['nfsvers=4.1', 'retry=0'])
  assert.equal(volume.spec?.nfs, { server: '10.0.0.5', path: '/srv/appdata' })
  assert.is(volume.spec?.persistentVolumeReclaimPolicy, 'Retain')
  assert.is(claim.spec?.storageClassName, '')
})

test('a test pod gives up every privilege but its user', () => {
  const pod = testPod('ns', { name: 'a', node: 'home-w1', script: 'true' })
  assert.equal(pod.spec?.containers?.[0]?.securityContext, {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  })
  assert.is(pod.spec?.hostNetwork, undefined)
  assert.is(pod.spec?.automountServiceAccountToken, false)
  assert.equal(pod.spec?.securityContext, {
    runAsUser: 0,
    seccompProfile: { type: 'RuntimeDefault' },
  })
})

test('a test pod of a user is one that the PodSecurity level restricted admits, with its group on the volume', () => {
  const pod = testPod('ns', { name: 'a', node: 'home-w1', script: 'true', user: 1000 })
  assert.equal(pod.spec?.securityContext, {
    runAsNonRoot: true,
    runAsUser: 1000,
    runAsGroup: 1000,
    fsGroup: 1000,
    seccompProfile: { type: 'RuntimeDefault' },
  })
})

const node = (name: string, isSchedulable = true) => ({ name, isReady: true, isSchedulable })
test('one node writes, the others read; tainted ones are left out', () => {
  assert.equal(chooseNodes([node('cp1', false), node('w1'), node('w2'), node('w3')], silentLog), {
    writer: 'w1',
    readers: ['w2', 'w3'],
  })
})

test('a single node writes and reads', () => {
  assert.equal(chooseNodes([node('cp1')], silentLog), { writer: 'cp1', readers: ['cp1'] })
})

test('no node to take workloads is refused', () => {
  try {
    chooseNodes([node('cp1', false)], silentLog)
    assert.unreachable()
  } catch (error) {
    assert.is((error as Problem).code, 'NO_READY_NODE')
  }
})

const deployment = (status: object): DeploymentObject => ({
  metadata: { name: 'csi-nfs-controller', generation: 2 },
  spec: { replicas: 2 },
  status,
})
for (const [what, status, ready] of [
  ['ready', { observedGeneration: 2, updatedReplicas: 2, availableReplicas: 2 }, 2],
  [
    'of the generation before',
    { observedGeneration: 1, updatedReplicas: 2, availableReplicas: 2 },
    0,
  ],
  ['half way', { observedGeneration: 2, updatedReplicas: 1, availableReplicas: 2 }, 1],
  ['not looked at yet', {}, 0],
] as const)
  test(`a deployment that is ${what} has ${ready} pods ready`, () => {
    assert.equal(readWorkloads(deployment(status), undefined).controller, { wanted: 2, ready })
  })

test.run()
