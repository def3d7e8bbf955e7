/** Which workloads of kube-system are expected, and whether they are rolled out. */
import { parseAllDocuments } from 'yaml'

/** A Deployment or DaemonSet of kube-system, with the fields that its rollout is judged by. */
export interface Workload {
  readonly metadata: { readonly name: string; readonly generation?: number }
  readonly spec?: { readonly replicas?: number }
  readonly status?: {
    readonly observedGeneration?: number
    readonly updatedReplicas?: number
    readonly availableReplicas?: number
    readonly updatedNumberScheduled?: number
    readonly numberAvailable?: number
    readonly desiredNumberScheduled?: number
  }
}

interface ClusterSection {
  readonly inlineManifests?: readonly unknown[]
  readonly extraManifests?: readonly unknown[]
  readonly coreDNS?: { readonly disabled?: boolean }
  readonly proxy?: { readonly disabled?: boolean }
  readonly network?: { readonly cni?: { readonly name?: string } }
}

/**
 * The workloads that Talos itself installs, given a control plane's config: a patch may switch each off.
 * From Talos 1.14 on each is in a document of its own; flannel is installed only when its document is there.
 */
export function expectedWorkloads(controlPlaneConfig: string): string[] {
  const documents = parseAllDocuments(controlPlaneConfig)
  const find = (kind?: string) => documents.find((document) => document.get('kind') === kind)
  const isOff = (kind: string): boolean => find(kind)?.get('enabled') === false
  const { cluster = {} } = (find()?.toJS() ?? {}) as { cluster?: ClusterSection }
  const hasFlannel =
    find('KubeNetworkConfig') === undefined
      ? (cluster.network?.cni?.name ?? 'flannel') === 'flannel'
      : find('KubeFlannelCNIConfig') !== undefined
  return [
    ...(cluster.coreDNS?.disabled === true || isOff('KubeCoreDNSConfig') ? [] : ['coredns']),
    ...(hasFlannel ? ['kube-flannel'] : []),
    ...(cluster.proxy?.disabled === true || isOff('KubeProxyConfig') ? [] : ['kube-proxy']),
  ]
}

/** Whether a control plane's config brings manifests of its own, which may install a CNI after the bootstrap. */
export function bringsManifests(controlPlaneConfig: string): boolean {
  const documents = parseAllDocuments(controlPlaneConfig)
  const kinds = documents.map((document) => document.get('kind'))
  // Talos 1.14: machinery/config/types/k8s.
  if (kinds.some((kind) => /^Kube(?:Inline|External)ManifestConfig$/.test(String(kind))))
    return true
  const { cluster = {} } = (documents[kinds.indexOf(undefined)]?.toJS() ?? {}) as {
    cluster?: ClusterSection
  }
  const { inlineManifests = [], extraManifests = [], network } = cluster
  return inlineManifests.length + extraManifests.length > 0 || network?.cni?.name === 'custom'
}

/** Why an expected workload is not rolled out; undefined: all are. */
export function rolloutProblem(
  expected: readonly string[],
  workloads: readonly Workload[],
): string | undefined {
  for (const name of expected) {
    const workload = workloads.find(({ metadata }) => metadata.name === name)
    if (workload === undefined) return `${name} is not there yet`
    const { metadata, spec, status = {} } = workload
    const isDaemonSet = status.desiredNumberScheduled !== undefined
    const wanted = (isDaemonSet ? status.desiredNumberScheduled : spec?.replicas) ?? 1
    const updated = (isDaemonSet ? status.updatedNumberScheduled : status.updatedReplicas) ?? 0
    const available = (isDaemonSet ? status.numberAvailable : status.availableReplicas) ?? 0
    if (status.observedGeneration !== metadata.generation) return `${name} is being changed`
    if (Math.min(updated, available) < wanted)
      return `${name} has ${Math.min(updated, available)} of ${wanted} ready`
  }
  return undefined
}
