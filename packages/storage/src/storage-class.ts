/** The StorageClass nfs-appdata: desired, compared, and as an object. */
import type { StorageClassObject } from '@talosmith/clients/kubernetes'
import { commandFor, Problem, type Cluster } from '@talosmith/core'
import { driverName, oursLabel, storageClassName } from './names.ts'

/** The NFS export of a cluster that has storage. */
export interface NfsExport {
  readonly server: string
  readonly share: string
}

/** The fields of a StorageClass that matter here. */
export interface StorageClassSpec {
  readonly provisioner: string
  readonly parameters: Readonly<Record<string, string>>
  readonly mountOptions: readonly string[]
  readonly reclaimPolicy: string
  readonly volumeBindingMode: string
  readonly allowVolumeExpansion: boolean
}

/** A sub-directory that a person recognises, and that no two claims share. */
const subDirectory = '${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}'

/** The export that the settings name; undefined: the cluster has no storage. */
export function nfsExport({ settings }: Cluster): NfsExport | undefined {
  const { NFS_SERVER: server, NFS_SHARE: share } = settings
  return server === undefined || share === undefined ? undefined : { server, share }
}

/** The export, where there must be one: NFS_NOT_SET otherwise. */
export function neededExport(cluster: Cluster): NfsExport {
  const found = nfsExport(cluster)
  if (found === undefined)
    throw new Problem('NFS_NOT_SET', `cluster ${cluster.name} has no NFS_SERVER`, {
      now: 'nothing was changed',
      hint: `set NFS_SERVER and NFS_SHARE, then: ${commandFor(cluster, 'storage:install')}`,
      exitCode: 78,
    })
  return found
}

/** The desired nfs-appdata. */
export function storageClassSpec(cluster: Cluster): StorageClassSpec {
  const { server, share } = neededExport(cluster)
  return {
    provisioner: driverName,
    parameters: { server, share, subDir: subDirectory },
    mountOptions: cluster.settings.NFS_MOUNT_OPTIONS,
    reclaimPolicy: cluster.settings.NFS_RECLAIM_POLICY,
    volumeBindingMode: 'Immediate',
    allowVolumeExpansion: true,
  }
}

/** nfs-appdata as a Kubernetes object. */
export function storageClassObject(cluster: Cluster): StorageClassObject {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: storageClassName, labels: oursLabel },
    ...storageClassSpec(cluster),
  }
}

/** One difference between two StorageClasses, in words. */
export interface Difference {
  readonly field: string
  readonly from: string
  readonly to: string
}

/** What differs, field by field; parameters one by one. */
export function compareSpecs(from: StorageClassSpec, to: StorageClassSpec): Difference[] {
  const [before, after] = [flat(from), flat(to)]
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return fields
    .filter((field) => before[field] !== after[field])
    .map((field) => ({ field, from: before[field] ?? 'none', to: after[field] ?? 'none' }))
}

/** Whether Kubernetes lets every one of these fields change in place; the rest needs a new object. */
export function canChangeInPlace(differences: readonly Difference[]): boolean {
  return differences.every(({ field }) => field === 'allowVolumeExpansion')
}

function flat({ parameters, mountOptions, ...rest }: StorageClassSpec): Record<string, string> {
  const entries = Object.entries({ ...parameters, ...rest, mountOptions: mountOptions.join(',') })
  return Object.fromEntries(entries.map(([field, value]) => [field, String(value)]))
}
