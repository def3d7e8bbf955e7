import { Problem } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ObservedStorage } from '../src/observe.ts'
import { checkClaims, fingerprint, planInstall, planStorage, planUninstall } from '../src/plan.ts'
import type { Release } from '../src/release.ts'
import { storageClassSpec } from '../src/storage-class.ts'
import { chartValues } from '../src/values.ts'

const cluster = testCluster({ NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata' })
const release: Release = {
  revision: 1,
  status: 'deployed',
  chartVersion: '4.13.4',
  values: chartValues(cluster),
  ours: true,
  record: 'sh.helm.release.v1.csi-driver-nfs.v1',
  begun: new Date(0),
}
const storageClass = {
  ours: true,
  spec: storageClassSpec(cluster),
  isDefault: false,
  mountOptions: 'nfsvers=4.1',
  proven: fingerprint(cluster),
}
const workloads = { controller: { wanted: 2, ready: 2 }, nodeDriver: { wanted: 3, ready: 3 } }
const exact: ObservedStorage = { release, storageClass, ...workloads }
const kinds = (observed: ObservedStorage): string[] =>
  planInstall(cluster, observed).map(({ kind }) => kind)

test('touches nothing when everything matches the settings and is verified', () => {
  assert.equal(planInstall(cluster, exact), [])
})

const table: [string, ObservedStorage, string[]][] = [
  [
    'nothing there: checks first, proves last',
    {},
    ['check-chart', 'check-nodes', 'install-release', 'create-storage-class', 'prove-storage'],
  ],
  [
    'killed after helm: only the class and the proof are missing',
    { release, ...workloads },
    ['check-nodes', 'create-storage-class', 'prove-storage'],
  ],
  [
    'killed before the proof: proves',
    { ...exact, storageClass: { ...storageClass, proven: '' } },
    ['prove-storage'],
  ],
  [
    'proven for other settings: proves again',
    { ...exact, storageClass: { ...storageClass, proven: 'old' } },
    ['prove-storage'],
  ],
  [
    'killed inside helm: the record is cleared, then installed',
    { release: { ...release, status: 'pending-install' } },
    [
      'check-chart',
      'check-nodes',
      'clear-release',
      'install-release',
      'create-storage-class',
      'prove-storage',
    ],
  ],
  [
    'a failed release is installed again',
    { ...exact, release: { ...release, status: 'failed' } },
    ['check-chart', 'check-nodes', 'install-release', 'prove-storage'],
  ],
  [
    'another version is a change of the release',
    { ...exact, release: { ...release, chartVersion: '4.12.1' } },
    ['check-chart', 'check-nodes', 'install-release', 'prove-storage'],
  ],
  [
    'other values are a change of the release',
    { ...exact, release: { ...release, values: { controller: { replicas: 1 } } } },
    ['check-chart', 'check-nodes', 'install-release', 'prove-storage'],
  ],
  [
    'an immutable field is a replacement',
    {
      ...exact,
      storageClass: { ...storageClass, spec: { ...storageClass.spec, reclaimPolicy: 'Delete' } },
    },
    ['check-nodes', 'replace-storage-class', 'prove-storage'],
  ],
  [
    'a lost Secret of the mount options is an update',
    { ...exact, storageClass: { ...storageClass, mountOptions: '' } },
    ['check-nodes', 'update-storage-class', 'prove-storage'],
  ],
  [
    'a class that was made the default by hand is left so',
    { ...exact, storageClass: { ...storageClass, isDefault: true } },
    [],
  ],
  [
    'a class from before its Secret is a replacement',
    {
      ...exact,
      storageClass: {
        ...storageClass,
        mountOptions: '',
        spec: { ...storageClass.spec, parameters: { server: '10.0.0.5', share: '/srv/appdata' } },
      },
    },
    ['check-nodes', 'replace-storage-class', 'prove-storage'],
  ],
  [
    'a mutable field is an update',
    {
      ...exact,
      storageClass: {
        ...storageClass,
        spec: { ...storageClass.spec, allowVolumeExpansion: false },
      },
    },
    ['check-nodes', 'update-storage-class', 'prove-storage'],
  ],
]
for (const [fact, observed, expected] of table)
  test(fact, () => assert.equal(kinds(observed), expected))

const other = (over: Record<string, string>): string =>
  fingerprint(
    testCluster({ NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata', WORKER_COUNT: '2', ...over }),
  )
for (const [what, over] of [
  ['a worker joins', { WORKER_COUNT: '3' }],
  ['a worker goes', { WORKER_COUNT: '1' }],
  ['there are more control planes', { CONTROL_PLANE_COUNT: '3', CLUSTER_VIP: '10.0.0.60' }],
  ['the chart changes', { NFS_CSI_VERSION: '4.12.1' }],
  ['the mount options change', { NFS_MOUNT_OPTIONS: 'nfsvers=3,nolock' }],
  ['the share changes', { NFS_SHARE: '/srv/other' }],
  ['the permissions of folders change', { NFS_MOUNT_PERMISSIONS: '0777' }],
] as const)
  test(`storage is proven again when ${what}`, () => {
    const proven = other(over)
    assert.is.not(proven, fingerprint(cluster))
    assert.equal(kinds({ ...exact, storageClass: { ...storageClass, proven } }), ['prove-storage'])
  })

for (const [setting, isDefault, expected] of [
  ['true', false, ['check-nodes', 'update-storage-class', 'prove-storage']],
  ['true', true, []],
  ['false', true, ['check-nodes', 'update-storage-class', 'prove-storage']],
  ['false', false, []],
] as const)
  test(`NFS_DEFAULT_CLASS=${setting}, and it ${isDefault ? 'is' : 'is not'} the default class`, () => {
    const wanted = testCluster({
      NFS_SERVER: '10.0.0.5',
      NFS_SHARE: '/srv/appdata',
      NFS_DEFAULT_CLASS: setting,
    })
    const observed = { ...exact, storageClass: { ...storageClass, isDefault } }
    assert.equal(
      planInstall(wanted, observed).map(({ kind }) => kind),
      expected,
    )
  })

test('a proof holds while nothing has changed', () => {
  assert.is(other({}), fingerprint(cluster))
})

for (const missing of ['controller', 'nodeDriver'] as const)
  test(`a deleted ${missing} is brought back by the release, and named`, () => {
    const { [missing]: gone, ...rest } = exact
    assert.ok(gone)
    assert.equal(kinds(rest), ['check-chart', 'check-nodes', 'install-release', 'prove-storage'])
    const install = planInstall(cluster, rest).find(({ kind }) => kind === 'install-release')
    assert.match(
      install?.from ?? '',
      missing === 'controller' ? 'csi-nfs-controller' : 'csi-nfs-node',
    )
  })

test('pods of the driver that are not ready are no change: nothing is to be installed', () => {
  assert.equal(planInstall(cluster, { ...exact, nodeDriver: { wanted: 3, ready: 1 } }), [])
})

test('a replacement reports what changes and that existing volumes keep their options', () => {
  const spec = { ...storageClass.spec, mountOptions: ['nfsvers=3', 'nolock'] }
  const [, replace] = planInstall(cluster, { ...exact, storageClass: { ...storageClass, spec } })
  assert.match(replace?.summary ?? '', 'existing volumes keep their old options')
  assert.is(replace?.from, 'mountOptions=nfsvers=3,nolock')
  assert.is(replace?.to, 'mountOptions=nfsvers=4.1')
})

for (const [what, observed, code] of [
  ['release', { release: { ...release, ours: false } }, 'RELEASE_NOT_OURS'],
  ['class', { storageClass: { ...storageClass, ours: false } }, 'STORAGE_CLASS_NOT_OURS'],
] as const)
  test(`a ${what} that is not ours is refused on install and left alone on uninstall`, () => {
    assert.throws(
      () => planInstall(cluster, observed),
      (error: unknown) => error instanceof Problem && error.code === code,
    )
    assert.equal(planUninstall(observed), [])
  })

test('uninstall takes the class first, then the release, and mirrors install', () => {
  assert.equal(
    planUninstall(exact).map(({ kind }) => kind),
    ['remove-storage-class', 'remove-release'],
  )
  assert.equal(planUninstall({}), [])
})

test('clearing NFS_SERVER plans the removal', () => {
  assert.equal(planStorage(testCluster(), exact), planUninstall(exact))
  assert.equal(planStorage(testCluster(), {}), [])
})

const claims = [
  { namespace: 'photos', name: 'library', phase: 'Bound' },
  { namespace: 'wiki', name: 'pages', phase: 'Pending' },
]
test('open claims refuse a removal, and are listed', () => {
  try {
    checkClaims(cluster, claims, false)
    assert.unreachable()
  } catch (error) {
    const problem = error as Problem
    assert.is(problem.code, 'CLAIMS_OPEN')
    assert.is(problem.because, 'photos/library (Bound)\nwiki/pages (Pending)')
    assert.match(problem.hint ?? '', 'CONFIRM=home')
  }
})

test('CONFIRM=<cluster>, or no claim, lets a removal pass', () => {
  checkClaims(cluster, claims, true)
  checkClaims(cluster, [], false)
})

test.run()
