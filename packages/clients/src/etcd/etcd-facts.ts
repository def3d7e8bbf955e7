/** What is known of etcd, and how talosctl's tables about it are read; none of them has a JSON form. */
import { parseTable, type Question } from '@talosmith/clients/talos'
import type { Node } from '@talosmith/core'

/** A member, as etcd lists it. */
export interface EtcdMember {
  readonly id: string
  /** Empty: the member was added, but never started. */
  readonly name: string
  /** Its peer addresses; none: they are not known. */
  readonly addresses?: readonly string[]
  readonly isLearner: boolean
}

/** What one member reports of itself. */
export interface EtcdStatus {
  /** Address of the machine that was asked. */
  readonly node: string
  /** The ID of the member that runs there. */
  readonly id: string
  readonly leader: string
  readonly raftIndex: number
  readonly raftTerm: number
  readonly isLearner: boolean
  /** Alarms and troubles, such as `NOSPACE` or `etcdserver: no leader`; empty: none. */
  readonly errors: string
}

/** An alarm that a member has raised. */
export interface EtcdAlarm {
  /** The member's ID. */
  readonly member: string
  readonly alarm: string
}

/** All that is known of etcd. */
export interface EtcdFacts {
  /** None: they are not known. */
  readonly members: readonly EtcdMember[]
  /** Why the members are not known. */
  readonly memberSilence?: string | undefined
  readonly status: readonly EtcdStatus[]
  readonly alarms: readonly EtcdAlarm[]
  /** Why the alarms are not known; undefined: they are. */
  readonly alarmSilence?: string | undefined
  /** Why control planes did not answer, by name. */
  readonly silence: ReadonlyMap<string, string>
}

/** Reads `talosctl etcd members`. */
export function parseEtcdMembers(table: string): EtcdMember[] {
  return parseTable(table).map((row) => ({
    id: row['ID'] ?? '',
    name: row['HOSTNAME'] ?? '',
    addresses: (row['PEER URLS'] ?? '').split(',').flatMap((url) => hostOf(url) ?? []),
    isLearner: row['LEARNER'] === 'true',
  }))
}

/** Reads `talosctl etcd status`. */
export function parseEtcdStatus(table: string): EtcdStatus[] {
  return parseTable(table).map((row) => ({
    node: row['NODE'] ?? '',
    id: row['MEMBER'] ?? '',
    leader: row['LEADER'] ?? '',
    raftIndex: Number(row['RAFT INDEX']),
    raftTerm: Number(row['RAFT TERM']),
    isLearner: row['LEARNER'] === 'true',
    errors: row['ERRORS'] ?? '',
  }))
}

/** Reads `talosctl etcd alarm list`, which prints nothing when there is none. */
export function parseEtcdAlarms(table: string): EtcdAlarm[] {
  return parseTable(table)
    .map((row) => ({ member: row['MEMBER'] ?? '', alarm: row['ALARM'] ?? '' }))
    .filter(({ alarm }) => alarm !== '' && alarm !== 'NONE')
}

/** What the etcd of each control plane reports of itself. */
export const etcdStatusQuestion: Question<EtcdStatus> = {
  args: ['etcd', 'status'],
  role: 'controlplane',
  parse: (output, only) => {
    const rows = parseEtcdStatus(output)
    const [own] = rows
    if (only !== undefined) return new Map(own && [[only, { ...own, node: only }]])
    return new Map(rows.map((row) => [row.node, row]))
  },
}

function hostOf(url: string): string | undefined {
  return /^https?:\/\/(.+):\d+$/.exec(url.trim())?.[1]?.replace(/^\[(.*)\]$/, '$1')
}

/**
 * The member that runs on a machine. Members are named by host name, which a patch may change, so they are matched
 * by what the machine itself reports, then by address; by name only where neither is known to be another's.
 */
export function memberOf(
  { name, address }: Pick<Node, 'name' | 'address'>,
  { members, status }: Pick<EtcdFacts, 'members' | 'status'>,
): EtcdMember | undefined {
  const reported = status.find(({ node }) => node === address)?.id
  return (
    members.find(({ id }) => id === reported) ??
    members.find(({ addresses = [] }) => addresses.includes(address)) ??
    members.find((member) => member.name === name)
  )
}

/** The name of the machine that leads etcd; undefined while there is none. */
export function leaderOf(
  controlPlanes: readonly Node[],
  etcd: Pick<EtcdFacts, 'members' | 'status'>,
): string | undefined {
  const leader = etcd.status.find(({ leader }) => leader !== '')?.leader
  return controlPlanes.find((node) => memberOf(node, etcd)?.id === leader)?.name
}
