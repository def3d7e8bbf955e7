import { Problem, silentLog } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject, Kubernetes } from '../src/kubernetes.ts'
import { oursLabel, testLabel } from '../src/names.ts'
import { awaitGone, findTests } from '../src/test-cleanup.ts'
import { exportVolume, newRunName, type VolumeObject } from '../src/test-run.ts'

const labels = { ...oursLabel, [testLabel]: 'true' }
const space = (name: string, isOurs = true, isGoing = false): KubeObject => ({
  kind: 'Namespace',
  metadata: {
    name,
    ...(isOurs ? { labels } : {}),
    ...(isGoing ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
  },
})
const volume = (namespace: string, name = 'proof'): VolumeObject => ({
  kind: 'PersistentVolume',
  metadata: { name: `pvc-${namespace}-${name}` },
  spec: { claimRef: { namespace, name }, csi: { volumeHandle: '10.0.0.5#srv#a##' } },
})
const made = (...objects: KubeObject[]): string[] =>
  findTests(objects).made.map(({ metadata }) => metadata.name)

const run = newRunName('proof')

test('a volume of a labelled namespace is of a test', () => {
  assert.equal(made(space(run), volume(run), volume('photos')), [`pvc-${run}-proof`])
})

test("somebody's namespace under the same prefix is nobody's test", () => {
  const theirs = 'talosmith-storage-photos'
  const found = findTests([space(theirs, false), volume(theirs), volume(theirs, 'library')])
  assert.equal(found, { namespaces: [], made: [], exports: [] })
})

test("somebody's volume of a namespace that is gone stays, whatever the namespace was called", () => {
  assert.equal(made(volume('talosmith-storage-photos'), volume(run, 'library')), [])
})

test('a volume that was made when its namespace had gone already is found by its claim', () => {
  assert.equal(made(volume(run)), [`pvc-${run}-proof`])
})

test('a namespace on its way out is not removed twice, its volumes are', () => {
  const found = findTests([space(run, true, true), volume(run)])
  assert.equal(found.namespaces, [])
  assert.is(found.made.length, 1)
})

test('the volume that is the export is found by its label, also without its namespace', () => {
  const [object] = exportVolume(run, { server: '10.0.0.5', share: '/srv' }, []) as KubeObject[]
  assert.ok(object)
  assert.equal(
    findTests([object]).exports.map(({ metadata }) => metadata.name),
    [`${run}-export`],
  )
})

test('a folder that the driver does not remove is a warning with its name, not a failure', async () => {
  const warned: string[] = []
  const log = { ...silentLog, warn: (text: string) => void warned.push(text) }
  const problem = new Problem('KUBECTL_FAILED', 'kubectl get failed')
  const kubernetes = { get: () => Promise.reject(problem) } as unknown as Kubernetes
  await awaitGone(kubernetes, [volume(run)], log)
  assert.match(warned.join(), 'sub-directory (a)')
})

test.run()
