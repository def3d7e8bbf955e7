/** The StorageClass nfs-appdata: desired, compared, and as an object. */
import type { SecretObject, StorageClassObject } from '@talosmith/clients/kubernetes'
import { commandFor, Problem, type Cluster } from '@talosmith/core'
import {
  defaultAnnotation,
  driverName,
  mountOptionsSecret,
  oursLabel,
  releaseNamespace,
  storageClassName,
  wasDefaultAnnotation,
} from './names.ts'

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
  const { NFS_MOUNT_PERMISSIONS: mountPermissions } = cluster.settings
  return {
    provisioner: driverName,
    parameters: {
      server,
      share,
      subDir: subDirectory,
      ...(mountPermissions === undefined ? {} : { mountPermissions }),
      'csi.storage.k8s.io/provisioner-secret-name': mountOptionsSecret,
      'csi.storage.k8s.io/provisioner-secret-namespace': releaseNamespace,
    },
    mountOptions: cluster.settings.NFS_MOUNT_OPTIONS,
    reclaimPolicy: cluster.settings.NFS_RECLAIM_POLICY,
    volumeBindingMode: 'Immediate',
    allowVolumeExpansion: true,
  }
}

/** nfs-appdata as a Kubernetes object; `isDefault` undefined: without the annotation of a default class. */
export function storageClassObject(cluster: Cluster, isDefault?: boolean): StorageClassObject {
  const annotations =
    isDefault === undefined ? {} : { annotations: { [defaultAnnotation]: String(isDefault) } }
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: storageClassName, labels: oursLabel, ...annotations },
    ...storageClassSpec(cluster),
  }
}

/** The mount options as the driver reads them from a Secret. */
export function describeMountOptions({ settings }: Cluster): string {
  return settings.NFS_MOUNT_OPTIONS.join(',')
}

/** The Secret with the mount options, for the deletion of volumes; `wasDefault` notes it of a class that is replaced. */
export function mountOptionsObject(cluster: Cluster, wasDefault?: true): SecretObject {
  const annotations =
    wasDefault === undefined ? {} : { annotations: { [wasDefaultAnnotation]: 'true' } }
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      ...{ name: mountOptionsSecret, namespace: releaseNamespace, labels: oursLabel },
      ...annotations,
    },
    data: { mountOptions: Buffer.from(describeMountOptions(cluster)).toString('base64') },
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

/** What differs beside the fields of the class: whether it is the default, and the options and the note in its Secret. */
export function compareSurroundings(
  cluster: Cluster,
  {
    isDefault,
    mountOptions = 'none',
    wasDefault,
  }: {
    readonly isDefault: boolean
    readonly mountOptions?: string | undefined
    readonly wasDefault?: true | undefined
  },
): Difference[] {
  const { NFS_DEFAULT_CLASS: wanted } = cluster.settings
  const options = describeMountOptions(cluster)
  return [
    ...(wanted === undefined || wanted === isDefault
      ? []
      : [{ field: defaultField, from: String(isDefault), to: String(wanted) }]),
    ...(mountOptions === options ? [] : [{ field: secretField, from: mountOptions, to: options }]),
    ...(wasDefault === undefined ? [] : [{ field: noteField, from: 'default', to: 'none' }]),
  ]
}

const defaultField = 'default'
const secretField = 'mountOptions of the Secret'
const noteField = 'note of the replaced class'
const inPlace: readonly string[] = ['allowVolumeExpansion', defaultField, secretField, noteField]

/** Whether Kubernetes lets every one of these fields change in place; the rest needs a new object. */
export function canChangeInPlace(differences: readonly Difference[]): boolean {
  return differences.every(({ field }) => inPlace.includes(field))
}

function flat({ parameters, mountOptions, ...rest }: StorageClassSpec): Record<string, string> {
  const entries = Object.entries({ ...parameters, ...rest, mountOptions: mountOptions.join(',') })
  return Object.fromEntries(entries.map(([field, value]) => [field, String(value)]))
}
