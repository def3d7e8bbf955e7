import { Problem, silentLog } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  ApiRefusal,
  kubernetesOver,
  type NamespaceObject,
  type VolumeObject,
} from '@talosmith/clients/kubernetes'
import { oursLabel, testLabel } from '../../src/names.ts'
import { awaitGone, findTests, removeTests } from '../../src/proof/cleanup.ts'
import { exportVolume, newRunName } from '../../src/proof/run.ts'

const labels = { ...oursLabel, [testLabel]: 'true' }
const space = (name: string, isOurs = true, isGoing = false): NamespaceObject => ({
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
const made = (spaces: NamespaceObject[], ...volumes: VolumeObject[]): string[] =>
  findTests(spaces, volumes).made.map(({ metadata }) => metadata.name)

const run = newRunName('proof')

test('a volume of a labelled namespace is of a test', () => {
  assert.equal(made([space(run)], volume(run), volume('photos')), [`pvc-${run}-proof`])
})

test('a foreign namespace with the same prefix is no test', () => {
  const theirs = 'talosmith-storage-photos'
  const found = findTests([space(theirs, false)], [volume(theirs), volume(theirs, 'library')])
  assert.equal(found, { namespaces: [], made: [], exports: [] })
})

test('a foreign volume of a deleted namespace stays, whatever the namespace was called', () => {
  assert.equal(made([], volume('talosmith-storage-photos'), volume(run, 'library')), [])
})

test('a volume that was made when its namespace had gone already is found by its claim', () => {
  assert.equal(made([], volume(run)), [`pvc-${run}-proof`])
})

test('a namespace that is being deleted is not deleted twice, its volumes are', () => {
  const found = findTests([space(run, true, true)], [volume(run)])
  assert.equal(found.namespaces, [])
  assert.is(found.made.length, 1)
})

test('the volume that is the export is found by its label, also without its namespace', () => {
  const [object] = exportVolume(run, { server: '10.0.0.5', share: '/srv' }, [])
  assert.equal(
    findTests([], [object]).exports.map(({ metadata }) => metadata.name),
    [`${run}-export`],
  )
})

test('a folder that the driver does not remove is a warning with its name, not a failure', async () => {
  const warned: string[] = []
  const log = { ...silentLog, warn: (text: string) => void warned.push(text) }
  const problem = new Problem('KUBERNETES_REFUSED', 'the API refused')
  const kubernetes = kubernetesOver(() => Promise.reject(problem))
  await awaitGone(kubernetes, [volume(run)], log)
  assert.match(warned.join(), 'sub-directory (a)')
})

/** An API that holds what a killed run left, and refuses to change its volume with `status`. */
function leftOver(status: number) {
  const deleted: string[] = []
  const kubernetes = kubernetesOver(async ({ method, path }) => {
    if (method === 'PATCH') throw new ApiRefusal(status, 'refused')
    if (method === 'DELETE') deleted.push(path)
    const items = path.endsWith('/namespaces') ? [space(run)] : [volume(run)]
    return JSON.stringify(method === 'GET' ? { items } : {})
  })
  return { kubernetes, deleted }
}

test('a volume that goes while it is marked keeps nothing from being removed', async () => {
  const { kubernetes, deleted } = leftOver(404)
  await removeTests(kubernetes)
  assert.equal(deleted, [
    `/api/v1/namespaces/${run}/pods`,
    `/api/v1/namespaces/${run}/persistentvolumeclaims`,
    `/api/v1/namespaces/${run}`,
  ])
})

test('a volume that may not be marked is an error, and its claim stays', async () => {
  const { kubernetes, deleted } = leftOver(403)
  const error = await removeTests(kubernetes).catch((reason: unknown) => reason)
  assert.instance(error, ApiRefusal)
  assert.equal(deleted, [])
})

test.run()
