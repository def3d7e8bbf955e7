/** Everything about Kubernetes that a diagnosis uses. */
import { generatedFiles, type Answer, type Cluster } from '@talosmith/core'
import { type NodeObject, openKubernetes, throughNodes } from '@talosmith/clients/kubernetes'
import { configFile } from '../config/machine-config.ts'
import { answer, askVip } from '../health/observe-health.ts'
import { expectedWorkloads, type Workload } from '../health/rollout.ts'

/** The parts of a pod that show its problems. */
export interface PodEvidence {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly spec: { readonly nodeName?: string }
  readonly status?: {
    readonly phase?: string
    readonly containerStatuses?: readonly {
      readonly image: string
      readonly state?: {
        readonly waiting?: { readonly reason?: string; readonly message?: string }
      }
    }[]
  }
}

/** What Kubernetes reports, through any control plane that answers. */
export interface KubernetesFindings {
  /** Whether each API server is ready, by machine name. */
  readonly apiServers: ReadonlyMap<string, Answer<unknown>>
  readonly nodes: Answer<readonly NodeObject[]>
  readonly pods: Answer<readonly PodEvidence[]>
  readonly endpoint: Answer<unknown>
  /** Undefined: there is no VIP. */
  readonly vip: Answer<unknown> | undefined
  /** Of kube-system. */
  readonly workloads: Answer<readonly Workload[]>
  readonly expectedWorkloads: readonly string[]
}

const readyMs = 5000

/** Checks every API server and the endpoint for readiness, and reads the rest from the first that is ready. */
export async function observeKubernetesEvidence(cluster: Cluster): Promise<KubernetesFindings> {
  const [controlPlane] = cluster.controlPlanes
  const config = controlPlane && (await generatedFiles(cluster).read(configFile(controlPlane)))
  const expected = { expectedWorkloads: expectedWorkloads(config ?? '') }
  const opened = await answer(() => openKubernetes(cluster))
  if (!opened.ok)
    return {
      ...{ apiServers: new Map(), nodes: opened, pods: opened, endpoint: opened },
      vip: cluster.vip === undefined ? undefined : opened,
      ...{ workloads: opened, ...expected },
    }
  const isReady = (server?: string) =>
    answer(() => opened.value.read('/readyz', { ...(server && { server }), timeoutMs: readyMs }))
  const endpointReady = isReady()
  const [endpoint, vip, ...ready] = await Promise.all([
    endpointReady,
    askVip(cluster, endpointReady, isReady),
    ...cluster.controlPlanes.map(({ address }) => isReady(`https://${address}:6443`)),
  ])
  const alive = cluster.controlPlanes.filter((_, index) => ready[index]?.ok)
  const none = { ok: false, reason: 'no API server is ready' } as const
  const kubernetes = throughNodes({ controlPlanes: alive }, opened.value)
  const list = <T>(path: string): Promise<Answer<readonly T[]>> =>
    alive.length === 0 ? Promise.resolve(none) : answer(() => kubernetes.list<T>(path))
  const apps = '/apis/apps/v1/namespaces/kube-system'
  const [nodes, pods, deployments, daemonSets] = await Promise.all([
    list<NodeObject>('/api/v1/nodes'),
    list<PodEvidence>('/api/v1/pods'),
    list<Workload>(`${apps}/deployments`),
    list<Workload>(`${apps}/daemonsets`),
  ])
  const workloads: KubernetesFindings['workloads'] =
    deployments.ok && daemonSets.ok
      ? { ok: true, value: [...deployments.value, ...daemonSets.value] }
      : deployments.ok
        ? daemonSets
        : deployments
  const apiServers = new Map(
    cluster.controlPlanes.map(({ name }, index) => [name, ready[index] ?? none] as const),
  )
  return { apiServers, nodes, pods, endpoint, vip, workloads, ...expected }
}

/** The body of a GET, from any control plane that answers. Throws with the reason when none does. */
export async function readKubernetes(cluster: Cluster, path: string): Promise<string> {
  return throughNodes(cluster, await openKubernetes(cluster)).read(path)
}
