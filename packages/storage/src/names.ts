/** Names that the chart, Kubernetes and we give to things. The names of the chart are not ours to choose. */

/** The Helm release, which has the chart's own name. */
export const releaseName = 'csi-driver-nfs'
/** The release's namespace: Talos exempts it from PodSecurity, which the driver's pods could not pass. */
export const releaseNamespace = 'kube-system'
/** The driver's name, as CSIDriver object and as provisioner. */
export const driverName = 'nfs.csi.k8s.io'
/** The chart's Deployment that makes volumes. */
export const controllerName = 'csi-nfs-controller'
/** The chart's DaemonSet that mounts them. */
export const nodeDriverName = 'csi-nfs-node'
/** The StorageClass that claims name. */
export const storageClassName = 'nfs-appdata'
/**
 * The Secret with the mount options of nfs-appdata: the driver gets no others when it deletes a volume
 * (pkg/nfs/controllerserver.go, DeleteVolume).
 */
export const mountOptionsSecret = 'nfs-appdata-mount-options'
/** On the StorageClass that claims without a class get (https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass). */
export const defaultAnnotation = 'storageclass.kubernetes.io/is-default-class'

/**
 * On that Secret while nfs-appdata is replaced, if it was the default class: only the object itself shows it, and a run
 * that is killed before it exists again must not lose it.
 */
export const wasDefaultAnnotation = 'talosmith.dev/was-default-class'

/** Marks what is ours: the release's record, the StorageClass, namespaces of tests. */
export const oursLabel = { 'app.kubernetes.io/managed-by': 'talosmith' } as const
/** Marks namespaces and volumes of tests, so that a later run finds what a killed one left. */
export const testLabel = 'talosmith.dev/storage-test'
/** Prefix of the namespaces and volumes of tests. */
export const testPrefix = 'talosmith-storage-'
/** The claim of a proof. */
export const testClaimName = 'proof'
/** On the StorageClass: the state (see `fingerprint`) for which the proof succeeded. */
export const provenAnnotation = 'talosmith.dev/proven'

/** Whether labels say that the object is ours. */
export function isOurs(labels: Readonly<Record<string, string>> | undefined): boolean {
  return Object.entries(oursLabel).every(([key, value]) => labels?.[key] === value)
}
