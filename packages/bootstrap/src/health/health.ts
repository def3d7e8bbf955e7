/** What a healthy cluster is. Pure. */
import { isNodeReady, nodeOf, readinessOf, type NodeObject } from '@talosmith/clients/kubernetes'
import { commandFor, type Answer, type Cluster, type Node } from '@talosmith/core'
import { judgeEtcd, type EtcdFacts } from '@talosmith/clients/etcd'
import {
  aspectProblem,
  guestAgentService,
  unmetServices,
  type Aspect,
  type MachineStatuses,
  type Probes,
} from '@talosmith/clients/talos'
import { rolloutProblem, type Workload } from './rollout.ts'

/** Everything that health is judged by. */
export interface HealthFacts {
  readonly probes: Probes
  /** Talos versions by machine name. */
  readonly versions: ReadonlyMap<string, string>
  readonly machines: MachineStatuses
  /** Names of machines that boot, are to have the guest agent, and have no channel for it. */
  readonly withoutChannel: ReadonlySet<string>
  readonly etcd: EtcdFacts
  /** By control plane name. */
  readonly apiServers: ReadonlyMap<string, Answer<unknown>>
  readonly endpoint: Answer<unknown>
  /** The API server at CLUSTER_VIP; undefined: there is no VIP. */
  readonly vip: Answer<unknown> | undefined
  readonly nodes: Answer<readonly NodeObject[]>
  /** As `nodesLeftBehind` finds them. */
  readonly leftBehind: readonly NodeObject[]
  readonly workloads: Answer<readonly Workload[]>
  readonly expectedWorkloads: readonly string[]
  /** The machine configs bring manifests, which may install a CNI. */
  readonly bringsManifests?: boolean
}

/** A condition of a healthy cluster. */
export interface Condition {
  /** Reads in "waiting for ...". */
  readonly fact: string
  /** The same as a sentence, for when it holds. */
  readonly holds: string
  /** Why the condition is not met; undefined: it is met. */
  readonly reason: string | undefined
  /** Whom the reason names: a machine, or a member of etcd, by name or address; undefined: none. */
  readonly who: string | undefined
  /** Waiting does not help. */
  readonly final: boolean
}

type Finding =
  string | { readonly reason: string; readonly who?: string; readonly final?: true } | undefined

/** The aspects of a machine's status that are judged before etcd: aspect, fact and its sentence. */
const aspects: readonly (readonly [Aspect, string, string])[] = [
  ['clock', 'every clock to be in sync', 'every clock is in sync'],
  ['network', 'every network to be up', 'every network is up: address, routes, name'],
  ['services', "Talos' services to be healthy", "Talos' services are healthy"],
  ['kubelet', 'every kubelet to be healthy', 'every kubelet is healthy'],
  ['static pods', 'the static pods to be ready', 'the static pods are ready'],
  ['boot', 'every boot to end', 'every boot has ended'],
]

/** Judges the facts: every condition of a healthy cluster, in the order in which they become true. */
export function judgeHealth(cluster: Cluster, observed: HealthFacts): Condition[] {
  const { settings, nodes, controlPlanes, endpoint } = cluster
  const { TALOS_VERSION: talos, KUBERNETES_VERSION: kubernetes } = settings
  const condition = (fact: string, holds: string, problem: Finding): Condition => {
    const found = typeof problem === 'string' ? { reason: problem } : problem
    return { fact, holds, reason: found?.reason, who: found?.who, final: found?.final === true }
  }
  const counted = nodes.length === 1 ? 'the machine' : `all ${nodes.length} machines`
  return [
    condition(
      `Talos to answer on ${counted}`,
      `Talos answers on ${counted}`,
      reachFinding(nodes, observed),
    ),
    condition(
      `${counted} to run Talos ${talos}`,
      `Talos ${talos} on ${counted}`,
      first(nodes, ({ name }) => {
        const runs = observed.versions.get(name)
        if (runs === undefined) return `${name} does not report its version`
        return runs === talos ? undefined : { reason: `${name} runs Talos ${runs}`, final: true }
      }),
    ),
    ...aspects.map(([aspect, fact, holds]) =>
      condition(
        fact,
        holds,
        first(nodes, (node) => machineFinding(node, aspect, observed)),
      ),
    ),
    condition(
      'etcd to have all control planes as members',
      `etcd: ${controlPlanes.length} voting member${controlPlanes.length === 1 ? '' : 's'}, one leader, no alarm`,
      etcdFinding(cluster, observed.etcd),
    ),
    condition(
      'every API server to be ready',
      'every API server is ready',
      first(controlPlanes, ({ name }) => {
        const problem = findingOf(observed.apiServers.get(name))
        if (problem === undefined) return undefined
        return typeof problem === 'object'
          ? { ...problem, reason: `${name}: ${problem.reason}` }
          : `${name}: ${problem}`
      }),
    ),
    condition(`${endpoint} to answer`, `${endpoint} answers`, findingOf(observed.endpoint)),
    ...(cluster.vip === undefined
      ? []
      : [
          condition(
            `the VIP ${cluster.vip} to answer`,
            `the VIP ${cluster.vip} answers`,
            findingOf(observed.vip),
          ),
        ]),
    condition(
      'every Kubernetes node to be Ready',
      `every node is Ready, at its address, with Kubernetes ${kubernetes}`,
      observed.nodes.ok
        ? (nodesFinding(cluster, observed.nodes.value, observed) ?? leftBehindFinding(observed))
        : findingOf(observed.nodes),
    ),
    condition(
      `${counted} to be ready`,
      `${counted} ready`,
      first(nodes, (node) => machineFinding(node, 'ready', observed)),
    ),
    condition(
      'kube-system to be rolled out',
      `rolled out: ${observed.expectedWorkloads.join(', ') || 'nothing to wait for'}`,
      observed.workloads.ok
        ? rolloutProblem(observed.expectedWorkloads, observed.workloads.value)
        : findingOf(observed.workloads),
    ),
  ]
}

function reachFinding(nodes: readonly Node[], { probes }: HealthFacts): Finding {
  return first(nodes, ({ name, address }) => {
    const result = probes.get(name)
    if (result === undefined) return `${name} was not queried`
    if (result.kind === 'ours') return undefined
    if (result.kind === 'maintenance')
      return { reason: `${name} has no machine config`, final: true }
    const isCertain = result.kind === 'foreign' || result.isStranger === true
    return isCertain
      ? { reason: `${name}: ${result.reason}`, final: true }
      : { reason: result.reason, who: address }
  })
}

/** The first problem is shown: the others follow from it more often than not. */
function etcdFinding(cluster: Cluster, etcd: EtcdFacts): Finding {
  const [first] = judgeEtcd(cluster, etcd)
  return first && { reason: `${first.who}: ${first.why}`, who: first.who }
}

function machineFinding({ name }: Node, aspect: Aspect, observed: HealthFacts): Finding {
  const machine = observed.machines.get(name) ?? { ok: false, reason: 'it was not queried' }
  if (!machine.ok) return `${name} does not report its status: ${machine.reason}`
  const problem = aspectProblem(machine.value, aspect)
  if (problem === undefined) return undefined
  const isAgentUnmet = unmetServices(machine.value).some(({ id }) => id === guestAgentService)
  const waitsForAgent = aspect === 'boot' || (aspect === 'services' && isAgentUnmet)
  if (waitsForAgent && observed.withoutChannel.has(name))
    return {
      reason: `${name} waits for the guest agent's channel, which it does not have (npx nx run vm:create, then off and on)`,
      final: true,
    }
  return `${name}: ${problem}`
}

function nodesFinding(
  cluster: Cluster,
  registered: readonly NodeObject[],
  observed: HealthFacts,
): Finding {
  const { nodes, controlPlanes, settings, generated } = cluster
  return first(nodes, (machine) => {
    const { name, address } = machine
    const node = nodeOf(machine, registered)
    if (node === undefined) return `${name} has not registered`
    const { addresses = [], nodeInfo } = node.status ?? {}
    const ready = readinessOf(node)
    if (lacksCni(node, registered, observed.expectedWorkloads)) {
      if (observed.bringsManifests === true)
        return `${name} is not Ready: no CNI is running yet; Talos applies the manifests of the machine configs (talosctl -n ${controlPlanes[0]?.address ?? address} logs controller-runtime)`
      if (isCniThere(observed))
        return `${name} is not Ready: the CNI is not running yet (kubectl -n kube-system get pods)`
      return {
        reason: `${name} is not Ready: no CNI is installed, and the machine configs leave it to you: put its manifests into env/${cluster.file}/manifests and run ${commandFor(cluster, 'cluster:up')}, or install one with ${generated}/kubeconfig`,
        final: true,
      }
    }
    if (ready?.status !== 'True')
      return `${name} is not Ready: ${ready?.message ?? 'no reason reported'}`
    const internal = addresses.filter(({ type }) => type === 'InternalIP')
    if (!internal.some((one) => one.address === address))
      return `${name} registered with ${internal[0]?.address ?? 'no address'} instead of ${address}`
    const runs = nodeInfo?.kubeletVersion
    return runs === settings.KUBERNETES_VERSION
      ? undefined
      : {
          reason: `${name} runs Kubernetes ${runs ?? 'of no known version'}, not ${settings.KUBERNETES_VERSION}: ${commandFor(cluster, 'cluster:upgrade')} changes it, or set KUBERNETES_VERSION to keep it`,
          final: true,
        }
  })
}

/**
 * Whether a node waits for a CNI that Talos does not install, and none of the registered nodes has one. The container
 * runtime reports it until the first CNI config is in /etc/cni/net.d (containerd's go-cni, ErrCNINotInitialized).
 */
export function lacksCni(
  node: NodeObject,
  registered: readonly NodeObject[],
  expectedWorkloads: readonly string[],
): boolean {
  // One node is Ready: the CNI is there, and its pod may still be starting on this one.
  if (registered.some(isNodeReady)) return false
  const { status, message = '' } = readinessOf(node) ?? {}
  const isWaiting = status !== 'True' && /cni plugin not initialized/i.test(message)
  return isWaiting && !expectedWorkloads.includes('kube-flannel')
}

/** Whether a CNI may be there, as a DaemonSet that does not run yet. */
function isCniThere({ workloads }: HealthFacts): boolean {
  if (!workloads.ok) return true
  return workloads.value.some(
    ({ metadata, status }) =>
      status?.desiredNumberScheduled !== undefined && metadata.name !== 'kube-proxy',
  )
}

function leftBehindFinding({ leftBehind: [node] }: HealthFacts): Finding {
  if (node === undefined) return undefined
  const { name } = node.metadata
  return {
    reason: `${name} is not Ready, and the settings have no such machine (removed permanently? kubectl delete node ${name})`,
    final: true,
  }
}

/**
 * Nodes that are not Ready and belong to no machine of the settings, such as a worker beyond
 * WORKER_COUNT: DaemonSets wait for them as long as Kubernetes lists them.
 */
export function nodesLeftBehind(
  cluster: Pick<Cluster, 'nodes'>,
  listed: readonly NodeObject[],
): NodeObject[] {
  const ours = cluster.nodes.map((machine) => nodeOf(machine, listed))
  return listed.filter((node) => !isNodeReady(node) && !ours.includes(node))
}

function findingOf(answer: Answer<unknown> | undefined): Finding {
  if (answer === undefined) return 'not asked'
  if (answer.ok) return undefined
  return answer.final === true ? { reason: answer.reason, final: true } : answer.reason
}

/** The first problem of a machine. */
function first(nodes: readonly Node[], judge: (node: Node) => Finding): Finding {
  for (const node of nodes) {
    const problem = judge(node)
    if (typeof problem === 'string') return { reason: problem, who: node.name }
    if (problem !== undefined) return { who: node.name, ...problem }
  }
  return undefined
}

/** How long a final problem must last before it counts: a machine that boots reports some facts late. */
const certainMs = 20_000

/** Whether waiting is pointless: only final problems are left, or a final problem has lasted. */
export function isUnrecoverable(
  unmet: readonly Pick<Condition, 'final'>[],
  finalForMs: number,
): boolean {
  if (!unmet.some(({ final }) => final)) return false
  return unmet.every(({ final }) => final) || finalForMs >= certainMs
}
