import type { Cluster, Node } from '@talosmith/core'
import { machineFault, type MachineStatuses } from '@talosmith/clients/talos'
import type { EtcdFacts } from '@talosmith/clients/etcd'
import { type NodeObject, mark, nodeFault } from '@talosmith/clients/kubernetes'

/** Everything that is looked at before a machine may be taken away for a while. */
export interface GateFacts {
  readonly etcd: EtcdFacts
  readonly machines: MachineStatuses
  /** Kubernetes' nodes; or why it does not list them. */
  readonly nodes: readonly NodeObject[] | { readonly reason: string }
}

/** Why a machine may not be taken away: who, and what is wrong there. */
export interface GateReason {
  /** A machine, a member of etcd, or `etcd` itself. */
  readonly who: string
  readonly why: string
  /** Waiting can't mend it. */
  readonly final: boolean
}

/** What the gate may pass over. */
export interface GateOptions {
  /** Whether cordoned nodes count: what a snapshot brings back says nothing about today. */
  readonly cordons?: boolean
}

/**
 * Members may differ by what was written while they were asked. One that is further behind is not in
 * step, and its answer would not count in a vote.
 */
const windowOfEntries = 1000

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

/** What is wrong with etcd itself: a member that is missing, learning, silent, behind, or alarmed; no leader. */
export function judgeEtcd(cluster: Cluster, etcd: EtcdFacts): GateReason[] {
  return [...judgeMembers(cluster, etcd), ...judgeAgreement(cluster, etcd)]
}

const not = (who: string, why: string, final = false): GateReason => ({ who, why, final })

function judgeMembers(
  { controlPlanes }: Cluster,
  { members, alarms, alarmSilence }: EtcdFacts,
): GateReason[] {
  const nameOf = (id: string): string =>
    members.find((one) => one.id === id)?.name || `member ${id}`
  return [
    ...controlPlanes
      .filter(({ name }) => !members.some((one) => one.name === name))
      .map(({ name }) => not(name, 'is not a member of etcd')),
    ...members
      .filter(({ name }) => name === '')
      .map(({ id }) => not(`member ${id}`, 'was added to etcd but never started')),
    ...members
      .filter(({ name }) => name !== '' && !controlPlanes.some((node) => node.name === name))
      .map(({ name }) =>
        not(name, 'is a member of etcd, but no control plane of the settings', true),
      ),
    ...members
      .filter(({ isLearner }) => isLearner)
      .map(({ name, id }) =>
        not(name || `member ${id}`, 'is still learning and has no vote in etcd'),
      ),
    ...alarms.map(({ member, alarm }) => not(nameOf(member), `has raised the alarm ${alarm}`)),
    ...(alarmSilence === undefined
      ? []
      : [not('etcd', `does not list its alarms: ${alarmSilence}`)]),
  ]
}

function judgeAgreement(
  { controlPlanes }: Cluster,
  { members, status, silence }: EtcdFacts,
): GateReason[] {
  const reasons: GateReason[] = []
  const newest = Math.max(...status.map(({ raftIndex }) => raftIndex))
  for (const { name, address } of controlPlanes) {
    const said = status.find(({ node }) => node === address)
    if (said === undefined) {
      reasons.push(not(name, `its etcd does not answer: ${silence.get(name) ?? 'it said nothing'}`))
      continue
    }
    if (said.errors !== '') reasons.push(not(name, `its etcd has errors: ${said.errors}`))
    const behind = newest - said.raftIndex
    if (behind > windowOfEntries)
      reasons.push(not(name, `its etcd is ${behind} entries behind the others`))
  }
  const leaders = new Set(status.map(({ leader }) => leader))
  const terms = new Set(status.map(({ raftTerm }) => raftTerm))
  const [leader] = leaders
  if (status.length === 0) return reasons
  if (leaders.size > 1 || terms.size > 1)
    reasons.push(not('etcd', 'its members do not agree on a leader'))
  else if (!members.some(({ id }) => id === leader))
    reasons.push(not('etcd', 'it has no leader among its members'))
  return reasons
}

function judgeQuorum(
  { controlPlanes }: Cluster,
  { members, status }: EtcdFacts,
  candidates: readonly Pick<Node, 'name' | 'role'>[],
): GateReason[] {
  const leaving = candidates.filter(({ role }) => role === 'controlplane')
  if (leaving.length === 0) return []
  if (leaving.length > 1)
    return [not('etcd', 'control planes are restarted one at a time only', true)]
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
  return nodes.flatMap(({ name, address }) => {
    // A candidate may well be restarted because something is wrong with it.
    if (candidates.some((one) => one.name === name)) return []
    const machine = machines.byAddress.get(address)
    if (machine === undefined) return [not(name, `does not say how it is: ${machines.silence}`)]
    const fault = machineFault(machine)
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
    const marked = cordons && node.metadata.annotations?.[mark] !== undefined
    const isCordoned = cordons && node.spec?.unschedulable === true
    return [
      ...(fault === undefined || isCandidate ? [] : [not(name, fault)]),
      ...(isCordoned && !marked ? [not(name, 'was cordoned by somebody else', true)] : []),
      ...(marked && !isCandidate ? [not(name, 'is in the middle of an upgrade')] : []),
    ]
  })
}
