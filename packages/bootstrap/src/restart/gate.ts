/** The gate: whether machines may be taken away for a while. Pure. */
import type { Cluster, Node } from '@talosmith/core'
import { judgeEtcd, type EtcdFacts, type EtcdProblem } from '@talosmith/clients/etcd'
import { nodeFault, type NodeObject } from '@talosmith/clients/kubernetes'
import { machineProblem, type MachineStatuses } from '@talosmith/clients/talos'
import { upgradeAnnotation } from './upgrade-annotation.ts'

/** Everything that is looked at before a machine may be taken away for a while. */
export interface GateFacts {
  readonly etcd: EtcdFacts
  readonly machines: MachineStatuses
  /** Kubernetes' nodes; or why it does not list them. */
  readonly nodes: readonly NodeObject[] | { readonly reason: string }
}

/** Why a machine may not be taken away: a machine or what else is concerned, and what is wrong there. */
export type GateReason = Pick<EtcdProblem, 'who' | 'why' | 'final'>

/** What the gate may pass over. */
export interface GateOptions {
  /** Whether cordoned nodes count: what a snapshot brings back says nothing about today. */
  readonly cordons?: boolean
}

/**
 * Judges whether `candidates` may be restarted now; no reason: they may. Talos from 1.13 on looks at
 * nothing itself before it restarts a control plane.
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
  { members, status }: EtcdFacts,
  candidates: readonly Pick<Node, 'name' | 'role'>[],
): GateReason[] {
  const leaving = candidates.filter(({ role }) => role === 'controlplane')
  if (leaving.length === 0) return []
  if (leaving.length > 1)
    return [not('etcd', 'control planes are restarted one at a time only', true)]
  // Not known: that alone keeps the gate closed.
  if (members.length === 0) return []
  // The only member takes etcd with it and brings it back; there is no quorum to lose.
  if (members.length === 1) return []
  const needed = Math.floor(members.length / 2) + 1
  const staying = controlPlanes.filter(
    ({ name, address }) =>
      !leaving.some((one) => one.name === name) &&
      members.some((one) => one.name === name && !one.isLearner) &&
      status.some(({ node, errors }) => node === address && errors === ''),
  )
  if (staying.length >= needed) return []
  const names = leaving.map(({ name }) => name).join(', ')
  return [
    not(
      'etcd',
      `without ${names} it would have ${staying.length} of ${members.length} members, and needs ${needed}`,
      // Two members are one too few for ever.
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
    // A candidate may well be restarted because something is wrong with it.
    if (candidates.some((one) => one.name === name)) return []
    const machine = machines.get(name) ?? { ok: false, reason: 'it was not asked' }
    if (!machine.ok) return [not(name, `does not say how it is: ${machine.reason}`)]
    const fault = machineProblem(machine.value)
    return fault === undefined ? [] : [not(name, `is ${fault}`)]
  })
}

function judgeNodes(
  cluster: Cluster,
  { nodes }: GateFacts,
  candidates: readonly Pick<Node, 'name'>[],
  cordons: boolean,
): GateReason[] {
  if ('reason' in nodes) return [not('Kubernetes', `does not list its nodes: ${nodes.reason}`)]
  return cluster.nodes.flatMap(({ name }) => {
    const node = nodes.find(({ metadata }) => metadata.name === name)
    if (node === undefined) return [not(name, 'is not a node of Kubernetes')]
    const isCandidate = candidates.some((one) => one.name === name)
    const fault = nodeFault(node)
    const marked = cordons && node.metadata.annotations?.[upgradeAnnotation] !== undefined
    const isCordoned = cordons && node.spec?.unschedulable === true
    return [
      ...(fault === undefined || isCandidate ? [] : [not(name, fault)]),
      ...(isCordoned && !marked ? [not(name, 'was cordoned by somebody else', true)] : []),
      ...(marked && !isCandidate ? [not(name, 'is in the middle of an upgrade')] : []),
    ]
  })
}
