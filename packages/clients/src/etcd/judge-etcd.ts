/** The one judgement of etcd: health, the gate, the proof of an upgrade and a diagnosis go by it. */
import type { Cluster } from '@talosmith/core'
import { memberOf, type EtcdFacts } from './etcd-facts.ts'

/** What is wrong with etcd. */
export type EtcdProblemKind =
  /** Its members are not known. */
  | 'members-unknown'
  /** A control plane is no member. */
  | 'missing-member'
  /** A member was added, and never started. */
  | 'never-started'
  /** A member is no control plane of the settings. */
  | 'unknown-member'
  /** A member is still learning. */
  | 'learner'
  /** A member has raised an alarm. */
  | 'alarm'
  /** Its alarms are not known. */
  | 'alarms-unknown'
  /** A member does not answer. */
  | 'silent'
  /** A member has errors. */
  | 'errors'
  /** A member lacks what the others have. */
  | 'behind'
  /** Members follow several leaders. */
  | 'several-leaders'
  /** The same, since one of them leads a cluster of its own. */
  | 'several-clusters'
  /** No member leads. */
  | 'no-leader'

/** One thing that is wrong with etcd: where, and what. */
export interface EtcdProblem {
  readonly kind: EtcdProblemKind
  /** A machine, a member of etcd, or `etcd` itself. */
  readonly who: string
  readonly why: string
  /** Waiting does not help. */
  readonly final: boolean
  /** The member's ID, where it is about one that etcd lists. */
  readonly member?: string
}

/**
 * Members may differ by what was written while they were asked. One that is further behind is not in
 * step, and its answer would not count in a vote.
 */
const windowOfEntries = 1000

/** All that is wrong with etcd: a member that is missing, learning, silent, behind, or alarmed; no leader. */
export function judgeEtcd(cluster: Pick<Cluster, 'controlPlanes'>, etcd: EtcdFacts): EtcdProblem[] {
  return [
    ...judgeMembers(cluster, etcd),
    ...judgeAlarms(etcd),
    ...judgeStatus(cluster, etcd),
    ...judgeLeader(etcd),
  ]
}

function judgeMembers(
  { controlPlanes }: Pick<Cluster, 'controlPlanes'>,
  etcd: EtcdFacts,
): EtcdProblem[] {
  const { members, memberSilence = 'it names none', status } = etcd
  if (members.length === 0) {
    const why = `does not list its members: ${memberSilence}`
    return [{ kind: 'members-unknown', who: 'etcd', why, final: false }]
  }
  const absent = controlPlanes.filter((node) => !memberOf(node, etcd)?.name)
  const missing = absent.map(({ name }): EtcdProblem => {
    return { kind: 'missing-member', who: name, why: 'is not a member of etcd', final: false }
  })
  const ours = new Set(controlPlanes.map((node) => memberOf(node, etcd)?.id))
  // A machine that does not answer may be a member by another address than the one that we know.
  const isSettled = absent.every(({ address }) => status.some(({ node }) => node === address))
  const about = (
    kind: EtcdProblemKind,
    why: string,
    applies: (member: (typeof members)[number]) => boolean,
    final = false,
  ): EtcdProblem[] =>
    members
      .filter(applies)
      .map(({ id, name }) => ({ kind, who: name || `member ${id}`, why, final, member: id }))
  return [
    ...missing,
    ...about('never-started', 'was added to etcd but never started', ({ name }) => name === ''),
    ...about(
      'unknown-member',
      'is a member of etcd, but no control plane of the settings',
      ({ id, name }) => name !== '' && !ours.has(id) && isSettled,
      true,
    ),
    ...about('learner', 'is still learning and has no vote in etcd', ({ isLearner }) => isLearner),
  ]
}

function judgeAlarms({ members, alarms, alarmSilence }: EtcdFacts): EtcdProblem[] {
  const nameOf = (id: string): string =>
    members.find((one) => one.id === id)?.name || `member ${id}`
  const raised = alarms.map(({ member, alarm }): EtcdProblem => {
    const why = `has raised the alarm ${alarm}`
    return { kind: 'alarm', who: nameOf(member), why, final: false, member }
  })
  if (alarmSilence === undefined) return raised
  const why = `does not list its alarms: ${alarmSilence}`
  return [...raised, { kind: 'alarms-unknown', who: 'etcd', why, final: false }]
}

function judgeStatus(
  { controlPlanes }: Pick<Cluster, 'controlPlanes'>,
  { status, silence }: EtcdFacts,
): EtcdProblem[] {
  const newest = Math.max(...status.map(({ raftIndex }) => raftIndex))
  return controlPlanes.flatMap(({ name, address }): EtcdProblem[] => {
    const own = status.find(({ node }) => node === address)
    const about = (kind: EtcdProblemKind, why: string): EtcdProblem => {
      return { kind, who: name, why, final: false }
    }
    if (own === undefined) {
      const reason = silence.get(name) ?? 'it was not queried'
      return [about('silent', `its etcd does not answer: ${reason}`)]
    }
    const behind = newest - own.raftIndex
    return [
      ...(own.errors === '' ? [] : [about('errors', `its etcd has errors: ${own.errors}`)]),
      ...(behind > windowOfEntries
        ? [about('behind', `its etcd is ${behind} entries behind the others`)]
        : []),
    ]
  })
}

function judgeLeader({ members, status }: EtcdFacts): EtcdProblem[] {
  const about = (kind: EtcdProblemKind, why: string): EtcdProblem[] => [
    { kind, who: 'etcd', why, final: false },
  ]
  const isMember = (id: string): boolean => members.some((one) => one.id === id)
  const leaders = new Set(status.map(({ leader }) => leader))
  const terms = new Set(status.map(({ raftTerm }) => raftTerm))
  if (leaders.size > 1 || terms.size > 1) {
    // During an election two may lead themselves, seconds apart; the leader of another cluster is no member.
    const own = status.filter(({ id, leader }) => id === leader)
    const isApart = own.length > 1 && members.length > 0 && !own.every(({ id }) => isMember(id))
    return about(
      isApart ? 'several-clusters' : 'several-leaders',
      'its members do not agree on a leader',
    )
  }
  const [leader] = leaders
  if (leader === undefined || members.length === 0 || isMember(leader)) return []
  return about('no-leader', 'it has no leader among its members')
}
