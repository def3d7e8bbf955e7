/** What there is of storage in a cluster. */
import { generatedFiles, type Cluster } from '@talosmith/core'
import {
  listPath,
  objectPath,
  type ClaimObject,
  type DaemonSetObject,
  type DeploymentObject,
  type Kubernetes,
  type SecretObject,
  type StorageClassObject,
} from '@talosmith/clients/kubernetes'
import * as names from './names.ts'
import { readRelease, type Release } from './release.ts'
import type { StorageClassSpec } from './storage-class.ts'

/** How far one of the driver's workloads is. */
export interface DriverWorkload {
  readonly wanted: number
  readonly ready: number
}

/** A claim of the class. */
export interface Claim {
  readonly namespace: string
  readonly name: string
  readonly phase: string
}

/** What there is of storage in a cluster. */
export interface ObservedStorage {
  readonly release?: Release
  readonly storageClass?: {
    readonly ours: boolean
    readonly spec: StorageClassSpec
    /** Whether claims without a class get it. */
    readonly isDefault: boolean
    /** The options in its Secret, for the deletion of volumes. */
    readonly mountOptions?: string
    readonly proven?: string
  }
  /** The Secret with the mount options exists, and is ours. */
  readonly hasMountOptions?: true
  /** A killed run has deleted the default class to replace it, or has replaced it. */
  readonly wasDefault?: true
  readonly controller?: DriverWorkload
  readonly nodeDriver?: DriverWorkload
}

/** Whether there is a kubeconfig to look at the cluster with. */
export async function hasAccess(cluster: Cluster): Promise<boolean> {
  return generatedFiles(cluster).has('kubeconfig')
}

/** Looks at the release, the StorageClass and the driver: five requests side by side, no helm. */
export async function observeStorage(kubernetes: Kubernetes): Promise<ObservedStorage> {
  const [secrets, storageClass, options, workloads] = await Promise.all([
    kubernetes.list<SecretObject>(listPath('Secret', names.releaseNamespace), {
      labels: `owner=helm,name=${names.releaseName}`,
    }),
    kubernetes.get<StorageClassObject>(objectPath('StorageClass', names.storageClassName)),
    kubernetes.get<SecretObject>(
      objectPath('Secret', names.mountOptionsSecret, names.releaseNamespace),
    ),
    observeWorkloads(kubernetes),
  ])
  const release = readRelease(secrets)
  return {
    ...(release === undefined ? {} : { release }),
    ...(storageClass === undefined ? {} : { storageClass: readClass(storageClass, options) }),
    ...(options !== undefined &&
      names.isOurs(options.metadata.labels) && { hasMountOptions: true as const }),
    ...(options?.metadata.annotations?.[names.wasDefaultAnnotation] === 'true' && {
      wasDefault: true as const,
    }),
    ...workloads,
  }
}

type Workloads = Pick<ObservedStorage, 'controller' | 'nodeDriver'>

/** How far the driver's workloads are. */
export async function observeWorkloads(kubernetes: Kubernetes): Promise<Workloads> {
  const { controllerName, nodeDriverName, releaseNamespace } = names
  return readWorkloads(
    ...(await Promise.all([
      kubernetes.get<DeploymentObject>(objectPath('Deployment', controllerName, releaseNamespace)),
      kubernetes.get<DaemonSetObject>(objectPath('DaemonSet', nodeDriverName, releaseNamespace)),
    ])),
  )
}

/** How far the driver's workloads are, from their objects. */
export function readWorkloads(
  deployment: DeploymentObject | undefined,
  daemonSet: DaemonSetObject | undefined,
): Workloads {
  const { updatedReplicas, availableReplicas } = deployment?.status ?? {}
  const { updatedNumberScheduled, numberAvailable } = daemonSet?.status ?? {}
  return {
    ...(deployment === undefined
      ? {}
      : {
          controller: {
            wanted: deployment.spec?.replicas ?? 1,
            ready: current(deployment, updatedReplicas, availableReplicas),
          },
        }),
    ...(daemonSet === undefined
      ? {}
      : {
          nodeDriver: {
            wanted: daemonSet.status?.desiredNumberScheduled ?? 0,
            ready: current(daemonSet, updatedNumberScheduled, numberAvailable),
          },
        }),
  }
}

/** Pods that are both of the newest template and available; a status of an older one does not count. */
function current(
  { metadata, status }: DeploymentObject | DaemonSetObject,
  updated = 0,
  available = 0,
): number {
  return (status?.observedGeneration ?? 0) < (metadata.generation ?? 0)
    ? 0
    : Math.min(updated, available)
}

function readClass(
  object: StorageClassObject,
  secret: SecretObject | undefined,
): NonNullable<ObservedStorage['storageClass']> {
  const proven = object.metadata.annotations?.[names.provenAnnotation]
  const options = secret?.data?.['mountOptions']
  return {
    ours: names.isOurs(object.metadata.labels),
    spec: {
      provisioner: object.provisioner ?? '',
      parameters: object.parameters ?? {},
      mountOptions: object.mountOptions ?? [],
      reclaimPolicy: object.reclaimPolicy ?? 'Delete',
      volumeBindingMode: object.volumeBindingMode ?? 'Immediate',
      allowVolumeExpansion: object.allowVolumeExpansion ?? false,
    },
    isDefault: object.metadata.annotations?.[names.defaultAnnotation] === 'true',
    ...(options === undefined
      ? {}
      : { mountOptions: Buffer.from(options, 'base64').toString('utf8') }),
    ...(proven === undefined ? {} : { proven }),
  }
}

/** Every claim of the class, tests of ours left out. */
export async function observeClaims(kubernetes: Kubernetes): Promise<Claim[]> {
  const claims = await kubernetes.list<ClaimObject>(listPath('PersistentVolumeClaim'))
  return claims
    .filter(
      ({ metadata, spec }) =>
        spec?.storageClassName === names.storageClassName &&
        metadata.labels?.[names.testLabel] === undefined,
    )
    .map(({ metadata, status }) => ({
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      phase: status?.phase ?? 'Pending',
    }))
}
