import type { Problem } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  canChangeInPlace,
  compareSpecs,
  mountOptionsObject,
  nfsExport,
  storageClassObject,
  storageClassSpec,
} from '../src/storage-class.ts'

const nfs = { NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata' }

test('nfs-appdata keeps data, binds at once, grows, and gives each claim its sub-directory', () => {
  assert.equal(storageClassObject(testCluster(nfs)), {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: {
      name: 'nfs-appdata',
      labels: { 'app.kubernetes.io/managed-by': 'talosmith' },
    },
    provisioner: 'nfs.csi.k8s.io',
    parameters: {
      server: '10.0.0.5',
      share: '/srv/appdata',
      subDir: '${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}',
      'csi.storage.k8s.io/provisioner-secret-name': 'nfs-appdata-mount-options',
      'csi.storage.k8s.io/provisioner-secret-namespace': 'kube-system',
    },
    mountOptions: ['nfsvers=4.1'],
    reclaimPolicy: 'Retain',
    volumeBindingMode: 'Immediate',
    allowVolumeExpansion: true,
  })
})

for (const [options, expected] of [
  ['nfsvers=4.1', ['nfsvers=4.1']],
  ['nfsvers=4.2,hard,noatime', ['nfsvers=4.2', 'hard', 'noatime']],
  ['nfsvers=3, nolock', ['nfsvers=3', 'nolock']],
] as const)
  test(`mount options ${options} reach the class`, () => {
    const cluster = testCluster({ ...nfs, NFS_MOUNT_OPTIONS: options })
    assert.equal(storageClassSpec(cluster).mountOptions, expected)
  })

test('permissions and the default class are settings', () => {
  const cluster = testCluster({ ...nfs, NFS_MOUNT_PERMISSIONS: '0770' })
  assert.is(storageClassSpec(cluster).parameters['mountPermissions'], '0770')
  assert.is(storageClassObject(cluster).metadata.annotations, undefined)
  for (const isDefault of [true, false])
    assert.equal(storageClassObject(cluster, isDefault).metadata.annotations, {
      'storageclass.kubernetes.io/is-default-class': String(isDefault),
    })
})

test('a Secret has the mount options, which the driver deletes volumes with', () => {
  const secret = mountOptionsObject(testCluster({ ...nfs, NFS_MOUNT_OPTIONS: 'nfsvers=3,nolock' }))
  const { parameters } = storageClassSpec(testCluster(nfs))
  assert.is(secret.metadata.name, parameters['csi.storage.k8s.io/provisioner-secret-name'])
  const options = Buffer.from(secret.data?.['mountOptions'] ?? '', 'base64').toString()
  assert.is(options, 'nfsvers=3,nolock')
})

const base = storageClassSpec(testCluster(nfs))
for (const [field, other, isInPlace] of [
  ['allowVolumeExpansion', { ...base, allowVolumeExpansion: false }, true],
  ['reclaimPolicy', { ...base, reclaimPolicy: 'Delete' }, false],
  ['server', { ...base, parameters: { ...base.parameters, server: 'old' } }, false],
  ['mountOptions', { ...base, mountOptions: ['nfsvers=4.1', 'hard'] }, false],
  ['onDelete', { ...base, parameters: { ...base.parameters, onDelete: 'archive' } }, false],
] as const)
  test(`a different ${field} is found, and ${isInPlace ? 'changed in place' : 'needs a new class'}`, () => {
    const differences = compareSpecs(other, base)
    assert.equal(
      differences.map((difference) => difference.field),
      [field],
    )
    assert.is(canChangeInPlace(differences), isInPlace)
  })

test('the same class differs in nothing', () => assert.equal(compareSpecs(base, { ...base }), []))

test('without NFS_SERVER there is no export, and asking for the class is refused', () => {
  assert.is(nfsExport(testCluster()), undefined)
  try {
    storageClassSpec(testCluster())
    assert.unreachable()
  } catch (error) {
    assert.is((error as Problem).code, 'NFS_NOT_SET')
  }
})

test.run()
