import { gzipSync } from 'node:zlib'
import { CommandFailed, silentLog } from '@talosmith/core'
import { problemOf, quicken, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { applyStorageChange } from '../src/apply.ts'
import type { SecretObject } from '@talosmith/clients/kubernetes'
import type { StorageChange } from '../src/plan.ts'
import { fakeApi } from './support/fake-api.ts'

quicken()
const cluster = testCluster({ NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata' })
const clear: StorageChange = { kind: 'clear-release', target: 'x', summary: 'x', risk: 'none' }

/** Helm's record of the newest revision. */
function record(status: string, begun: Date): SecretObject {
  const chart = { metadata: { version: '4.13.4' } }
  const text = JSON.stringify({ version: 2, info: { status, last_deployed: begun }, chart })
  const packed = gzipSync(text).toString('base64')
  return {
    kind: 'Secret',
    metadata: { name: 'sh.helm.release.v1.csi-driver-nfs.v2' },
    data: { release: Buffer.from(packed).toString('base64') },
  }
}

/** A cluster whose helm is, in turn, at work like this, the last one for ever; what was deleted, and the looks until then. */
function helms(...records: readonly (SecretObject | undefined)[]) {
  const deleted: string[] = []
  let looks = 0
  const { kubernetes } = fakeApi((path, method) => {
    if (method === 'DELETE') deleted.push(path)
    if (method !== 'GET' || !path.endsWith('/secrets')) return undefined
    const found = records[Math.min(looks++, records.length - 1)]
    return found === undefined ? [] : [found]
  })
  const work = async (): Promise<void> =>
    applyStorageChange(clear, { cluster, kubernetes, helm: async () => '', log: silentLog })
  return { work, deleted, looks: () => looks }
}

const ago = (seconds: number): Date => new Date(Date.now() - seconds * 1000)

test('another helm at work is waited for, and its record stays', async () => {
  const busy = record('pending-upgrade', ago(1))
  const { work, deleted, looks } = helms(busy, busy, record('deployed', ago(2)))
  await work()
  assert.equal(deleted, [])
  assert.is(looks(), 3)
})

test('a helm that began less than 30 s ago is never cut', async () => {
  // Its clock is an hour ahead: it never gets old here.
  const { work, deleted } = helms(record('pending-install', ago(-3600)))
  assert.match((await problemOf(work())).because ?? '', 'revision 2 is pending-install')
  assert.equal(deleted, [])
})

for (const status of ['pending-install', 'pending-rollback', 'uninstalling'])
  test(`a helm that is ${status} for over 30 s is gone, and its record is cleared`, async () => {
    const { work, deleted, looks } = helms(record(status, ago(31)))
    await work()
    assert.equal(deleted, [
      '/api/v1/namespaces/kube-system/secrets/sh.helm.release.v1.csi-driver-nfs.v2',
    ])
    assert.is(looks(), 1)
  })

for (const [title, found] of [
  ['without a record', undefined],
  ['whose record is finished', record('failed', ago(500))],
] as const)
  test(`a release ${title} has nothing to clear`, async () => {
    const { work, deleted } = helms(found)
    await work()
    assert.equal(deleted, [])
  })

const slow =
  'Error: server-side apply: request did not complete within requested timeout - context deadline exceeded'
for (const [title, stderr, state, runs] of [
  ['after a timeout of the API, its revision ended', slow, 'failed', 2],
  ['after a timeout of the API, without a revision', slow, undefined, 2],
  ['after a timeout of the API, its revision unfinished', slow, 'pending-upgrade', 1],
  ['after another failure', 'Error: invalid ownership metadata', 'failed', 1],
] as const)
  test(`helm is run ${runs === 1 ? 'once' : 'twice'} ${title}`, async () => {
    const found = state === undefined ? [] : [record(state, ago(1))]
    const { kubernetes } = fakeApi((path) => (path.endsWith('/secrets') ? found : undefined))
    let count = 0
    const helm = async (): Promise<string> => {
      count += 1
      throw new CommandFailed('this machine', 'helm upgrade', { exitCode: 1, stdout: '', stderr })
    }
    const change = { ...clear, kind: 'install-release' } as const
    const context = { cluster, kubernetes, helm, log: silentLog }
    const { code, because } = await problemOf(applyStorageChange(change, context))
    assert.is(code, 'HELM_FAILED')
    assert.match(because ?? '', stderr.replace('Error: ', '').slice(0, 30))
    assert.is(count, runs)
  })

test.run()
