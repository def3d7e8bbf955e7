/** The safety gate: whether machines can be restarted without harm to the cluster. Pure. */
import type { Cluster, Node } from '@talosmith/core'
import { judgeEtcd, memberOf, type EtcdFacts, type EtcdProblem } from '@talosmith/clients/etcd'
import { nodeOf, nodeProblem, type NodeObject } from '@talosmith/clients/kubernetes'
import { machineProblem, type MachineStatuses } from '@talosmith/clients/talos'
import { upgradeAnnotation } from './upgrade-annotation.ts'

/** Everything that is checked before a machine may restart. */
export interface GateFacts {
  readonly etcd: EtcdFacts
  readonly machines: MachineStatuses
  /** Kubernetes' nodes; or why they cannot be listed. */
  readonly nodes: readonly NodeObject[] | { readonly reason: string }
}

/** Why a machine may not restart: the machine or component concerned, and its problem. */
export type GateReason = Pick<EtcdProblem, 'who' | 'why' | 'final'>

/** Checks that the gate may skip. */
export interface GateOptions {
  /** Whether cordoned nodes count. After a restore they do not: the cordons are as old as the backup. */
  readonly cordons?: boolean
}

/**
 * Checks whether `candidates` may be restarted now; an empty list means they may. Talos 1.13 and newer make
 * no such checks before they restart a control plane.
 */
export function judgeGate(
  cluster: Cluster,
  facts: GateFacts,
  candidates: readonly Pick<Node, 'name' | 'role'>[],
  { cordons = true }: GateOptions = {},
): GateReason[] {
  return [
    ...judgeEtcd(cluster, facts.etcd),
    ...judgeQuorum(cluster, facts.etcd, candidates),
    ...judgeMachines(cluster, facts, candidates),
    ...judgeNodes(cluster, facts, candidates, cordons),
  ]
}

const not = (who: string, why: string, final = false): GateReason => ({ who, why, final })

function judgeQuorum(
  { controlPlanes }: Cluster,
  etcd: EtcdFacts,
  candidates: readonly Pick<Node, 'name' | 'role'>[],
): GateReason[] {
  const { members, status } = etcd
  const leaving = candidates.filter(({ role }) => role === 'controlplane')
  if (leaving.length === 0) return []
  if (leaving.length > 1) return [not('etcd', 'control planes are restarted one at a time', true)]
  // Unknown members are reported by judgeEtcd.
  if (members.length === 0) return []
  // With a single member etcd is down during the restart anyway; there is no quorum to lose.
  if (members.length === 1) return []
  const needed = Math.floor(members.length / 2) + 1
  const staying = controlPlanes.filter(
    (own) =>
      !leaving.some(({ name }) => name === own.name) &&
      memberOf(own, etcd)?.isLearner === false &&
      status.some(({ node, errors }) => node === own.address && errors === ''),
  )
  if (staying.length >= needed) return []
  const names = leaving.map(({ name }) => name).join(', ')
  return [
    not(
      'etcd',
      `without ${names} it would have ${staying.length} of ${members.length} members; quorum needs ${needed}`,
      // With two members, waiting does not help.
      members.length === 2,
    ),
  ]
}

function judgeMachines(
  { nodes }: Cluster,
  { machines }: GateFacts,
  candidates: readonly Pick<Node, 'name'>[],
): GateReason[] {
  return nodes.flatMap(({ name }) => {
    // A candidate may be unhealthy: that may be why it is restarted.
    if (candidates.some((one) => one.name === name)) return []
    const machine = machines.get(name) ?? { ok: false, reason: 'it was not queried' }
    if (!machine.ok) return [not(name, `does not report its status: ${machine.reason}`)]
    const problem = machineProblem(machine.value)
    return problem === undefined ? [] : [not(name, `is ${problem}`)]
  })
}

function judgeNodes(
  cluster: Cluster,
  { nodes }: GateFacts,
  candidates: readonly Pick<Node, 'name'>[],
  cordons: boolean,
): GateReason[] {
  if ('reason' in nodes) return [not('Kubernetes', `nodes cannot be listed: ${nodes.reason}`)]
  return cluster.nodes.flatMap((machine) => {
    const { name } = machine
    const node = nodeOf(machine, nodes)
    if (node === undefined) return [not(name, 'is not registered as a Kubernetes node')]
    const isCandidate = candidates.some((one) => one.name === name)
    const problem = nodeProblem(node)
    const isAnnotated = cordons && node.metadata.annotations?.[upgradeAnnotation] !== undefined
    const isCordoned = cordons && node.spec?.unschedulable === true
    return [
      ...(problem === undefined || isCandidate ? [] : [not(name, problem)]),
      ...(isCordoned && !isAnnotated
        ? [not(name, 'was cordoned by another user or tool', true)]
        : []),
      ...(isAnnotated && !isCandidate ? [not(name, 'is in the middle of an upgrade')] : []),
    ]
  })
}
