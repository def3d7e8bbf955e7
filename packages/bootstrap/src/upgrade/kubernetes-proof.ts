/** Verifies which Kubernetes version every component runs. Pure. */
import type { Cluster, Node } from '@talosmith/core'
import { nodeOf, nodeProblem, type NodeObject, type PodObject } from '@talosmith/clients/kubernetes'

/** The objects that show which Kubernetes version runs. */
export interface KubernetesFacts {
  readonly nodes: readonly NodeObject[]
  /** The pods of kube-system. */
  readonly pods: readonly PodObject[]
}

const components = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const

/** The version of every component, by machine: 'home-cp1' -> 'kube-apiserver' -> 'v1.36.3'. */
export function versionsOf(
  { controlPlanes, nodes: machines }: Pick<Cluster, 'controlPlanes' | 'nodes'>,
  { nodes, pods }: KubernetesFacts,
): ReadonlyMap<string, ReadonlyMap<string, string | undefined>> {
  return new Map(
    machines.map((machine) => {
      const { name } = machine
      const kubelet = nodeOf(machine, nodes)?.status?.nodeInfo
      const isControlPlane = controlPlanes.some((one) => one.name === name)
      const own = (isControlPlane ? components : []).map((component) => {
        const pod = staticPod(component, machine, { nodes, pods })
        return [component, tagOf(pod?.spec?.containers?.[0]?.image)] as const
      })
      return [name, new Map([['kubelet', kubelet?.kubeletVersion], ...own])] as const
    }),
  )
}

/** Why Kubernetes does not run a version on every machine and is healthy; undefined when it does. */
export function findKubernetesProblem(
  cluster: Pick<Cluster, 'controlPlanes' | 'nodes'>,
  version: string,
  facts: KubernetesFacts,
): string | undefined {
  for (const [machine, versions] of versionsOf(cluster, facts))
    for (const [component, runs] of versions)
      if (runs !== version) return `${component} on ${machine} is ${runs ?? 'not running'}`
  for (const machine of cluster.controlPlanes)
    for (const component of components)
      if (!isReady(staticPod(component, machine, facts)))
        return `${component} on ${machine.name} is not ready`
  for (const pod of facts.pods) {
    if (pod.metadata.labels?.['k8s-app'] !== 'kube-proxy') continue
    const runs = tagOf(pod.spec?.containers?.[0]?.image)
    if (runs !== version)
      return `kube-proxy on ${pod.spec?.nodeName} is ${runs ?? 'of unknown version'}`
    if (!isReady(pod)) return `kube-proxy on ${pod.spec?.nodeName} is not ready`
  }
  for (const node of facts.nodes) {
    const problem = nodeProblem(node)
    if (problem !== undefined) return `${node.metadata.name} ${problem}`
  }
  return undefined
}

/** A static pod of a machine: the kubelet appends the name of its node. */
function staticPod(
  component: string,
  machine: Node,
  { nodes, pods }: KubernetesFacts,
): PodObject | undefined {
  const node = nodeOf(machine, nodes)?.metadata.name ?? machine.name
  return pods.find(({ metadata }) => metadata.name === `${component}-${node}`)
}

function isReady(pod: PodObject | undefined): boolean {
  return pod?.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True'
}

function tagOf(image: string | undefined): string | undefined {
  return image === undefined ? undefined : /:(v\d[^:/@]*)(?:@.*)?$/.exec(image)?.[1]
}
