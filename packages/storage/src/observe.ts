import { generatedFiles, type Cluster } from '@talosmith/core'
import type { KubeObject, Kubernetes } from './kubernetes.ts'
import * as names from './names.ts'
import { readRelease, type Release, type ReleaseSecret } from './release.ts'
import type { StorageClassSpec } from './storage-class.ts'

/** How far one of the driver's workloads is. */
export interface Workload {
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
    readonly proven?: string
  }
  readonly controller?: Workload
  readonly nodeDriver?: Workload
}

interface StorageClassObject extends KubeObject, Partial<StorageClassSpec> {}
interface WorkloadObject extends KubeObject {
  readonly spec: { readonly replicas?: number }
  readonly status?: {
    readonly observedGeneration?: number
    readonly updatedReplicas?: number
    readonly availableReplicas?: number
    readonly desiredNumberScheduled?: number
    readonly updatedNumberScheduled?: number
    readonly numberAvailable?: number
  }
}

/** Whether there is a kubeconfig to look at the cluster with. */
export async function hasAccess(cluster: Cluster): Promise<boolean> {
  return generatedFiles(cluster).has('kubeconfig')
}

/** Looks at the release, the StorageClass and the driver: two kubectl side by side, no helm. */
export async function observeStorage(kubernetes: Kubernetes): Promise<ObservedStorage> {
  const inNamespace = `--namespace=${names.releaseNamespace}`
  const [secrets, objects] = await Promise.all([
    kubernetes.get<ReleaseSecret>([
      'secrets',
      inNamespace,
      `--selector=owner=helm,name=${names.releaseName}`,
    ]),
    kubernetes.get([
      `storageclass/${names.storageClassName}`,
      `deployment/${names.controllerName}`,
      `daemonset/${names.nodeDriverName}`,
      inNamespace,
    ]),
  ])
  const release = readRelease(secrets)
  const storageClass = objects.find(({ kind }) => kind === 'StorageClass')
  return {
    ...(release === undefined ? {} : { release }),
    ...(storageClass === undefined ? {} : { storageClass: readClass(storageClass) }),
    ...readWorkloads(objects),
  }
}

/** How far the driver's workloads are, from a list of objects. */
export function readWorkloads(
  objects: readonly KubeObject[],
): Pick<ObservedStorage, 'controller' | 'nodeDriver'> {
  const find = (kind: string): WorkloadObject | undefined =>
    objects.find((object) => object.kind === kind) as WorkloadObject | undefined
  const deployment = find('Deployment')
  const daemonSet = find('DaemonSet')
  return {
    ...(deployment === undefined
      ? {}
      : {
          controller: {
            wanted: deployment.spec.replicas ?? 1,
            ready: current(
              deployment,
              deployment.status?.updatedReplicas,
              deployment.status?.availableReplicas,
            ),
          },
        }),
    ...(daemonSet === undefined
      ? {}
      : {
          nodeDriver: {
            wanted: daemonSet.status?.desiredNumberScheduled ?? 0,
            ready: current(
              daemonSet,
              daemonSet.status?.updatedNumberScheduled,
              daemonSet.status?.numberAvailable,
            ),
          },
        }),
  }
}

/** Pods that are both of the newest template and available; a status of an older one does not count. */
function current({ metadata, status }: WorkloadObject, updated = 0, available = 0): number {
  return (status?.observedGeneration ?? 0) < (metadata.generation ?? 0)
    ? 0
    : Math.min(updated, available)
}

function readClass(object: StorageClassObject): NonNullable<ObservedStorage['storageClass']> {
  const proven = object.metadata.annotations?.[names.provenAnnotation]
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
    ...(proven === undefined ? {} : { proven }),
  }
}

interface ClaimObject extends KubeObject {
  readonly spec: { readonly storageClassName?: string }
  readonly status?: { readonly phase?: string }
}

/** Every claim of the class, tests of ours left out. */
export async function observeClaims(kubernetes: Kubernetes): Promise<Claim[]> {
  const claims = await kubernetes.get<ClaimObject>(['persistentvolumeclaims', '--all-namespaces'])
  return claims
    .filter(
      ({ metadata, spec }) =>
        spec.storageClassName === names.storageClassName &&
        metadata.labels?.[names.testLabel] === undefined,
    )
    .map(({ metadata, status }) => ({
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      phase: status?.phase ?? 'Pending',
    }))
}
