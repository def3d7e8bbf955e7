import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog, type Change } from '@talosmith/core'
import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { installStorage, uninstallStorage } from '../src/flow.ts'
import type { ClaimObject } from '@talosmith/clients/kubernetes'
import { oursLabel } from '../src/names.ts'
import { fakeApi } from './support/fake-api.ts'

interface Given {
  readonly confirmed?: boolean
  readonly dryRun?: boolean
  readonly claims?: readonly ClaimObject[]
}

const claim: ClaimObject = {
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'library', namespace: 'photos' },
  spec: { storageClassName: 'nfs-appdata' },
  status: { phase: 'Bound' },
}

/** Removes storage of which a claim is open; what was deleted and planned. */
function remove(
  flow: typeof uninstallStorage,
  { confirmed = false, dryRun = false, claims = [claim] }: Given = {},
) {
  const cluster = testCluster({}, temporaryFolder('flow'))
  mkdirSync(cluster.generated, { recursive: true })
  writeFileSync(join(cluster.generated, 'kubeconfig'), '')
  const deleted: string[] = []
  const planned: Change[] = []
  const helm = async ([command = '']: readonly string[]): Promise<string> => {
    if (command === 'uninstall') deleted.push(command)
    return ''
  }
  const { kubernetes } = fakeApi((path, method) => {
    if (method === 'DELETE') deleted.push(path)
    if (path.endsWith('/persistentvolumeclaims')) return claims
    const metadata = { name: 'nfs-appdata', labels: oursLabel }
    return path.endsWith('/storageclasses/nfs-appdata') ? { metadata } : undefined
  })
  const showPlan = (changes: readonly Change[]) => (planned.push(...changes), 2 as const)
  const work = flow({ cluster, kubernetes, helm, log: silentLog, dryRun, confirmed, showPlan })
  return { work, deleted, planned }
}

for (const [title, flow] of [
  ['storage:uninstall', uninstallStorage],
  ['storage:install without NFS_SERVER', installStorage],
] as const) {
  test(`${title} removes nothing while a claim is open`, async () => {
    const { work, deleted } = remove(flow)
    const problem = await problemOf(work)
    assert.is(problem.code, 'CLAIMS_OPEN')
    assert.is(problem.because, 'photos/library (Bound)')
    assert.equal(deleted, [])
  })

  const passing: readonly (readonly [string, Given])[] = [
    ['CONFIRM names the cluster', { confirmed: true }],
    ['no claim is open', { claims: [] }],
    [
      'the claims are of another class',
      { claims: [{ ...claim, spec: { storageClassName: 'fast' } }] },
    ],
  ]
  for (const [when, given] of passing)
    test(`${title} removes it when ${when}`, async () => {
      const { work, deleted } = remove(flow, given)
      await work
      assert.equal(deleted, ['/apis/storage.k8s.io/v1/storageclasses/nfs-appdata'])
    })

  test(`${title} shows its plan, and removes nothing`, async () => {
    const { work, deleted, planned } = remove(flow, { dryRun: true })
    assert.is(await work, 2)
    assert.equal(
      planned.map(({ kind }) => kind),
      ['remove-storage-class'],
    )
    assert.equal(deleted, [])
  })
}

test.run()
