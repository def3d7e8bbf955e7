import type { EtcdMember } from './etcd.ts'
import { parseTable } from '@talosmith/clients/talos'

/** What one member says of itself, as `talosctl etcd status` shows it. */
export interface MemberStatus {
  /** Address of the machine that was asked. */
  readonly node: string
  readonly id: string
  readonly leader: string
  readonly raftIndex: number
  readonly raftTerm: number
  readonly isLearner: boolean
  /** Empty: none. */
  readonly errors: string
}

/** An alarm that a member has raised. */
export interface Alarm {
  readonly member: string
  readonly alarm: string
}

/** All that is known of etcd before a control plane is taken away for a while. */
export interface EtcdFacts {
  readonly members: readonly EtcdMember[]
  readonly status: readonly MemberStatus[]
  readonly alarms: readonly Alarm[]
  /** Why the alarms are not known; undefined: they are. */
  readonly alarmSilence?: string | undefined
  /** Why control planes did not answer, by name. */
  readonly silence: ReadonlyMap<string, string>
}

/** Reads `talosctl etcd status`; it has no JSON form. */
export function parseMemberStatus(table: string): MemberStatus[] {
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

/** Reads `talosctl etcd alarm list`, which says nothing when there is none. */
export function parseAlarms(table: string): Alarm[] {
  return parseTable(table)
    .map((row) => ({ member: row['MEMBER'] ?? '', alarm: row['ALARM'] ?? '' }))
    .filter(({ alarm }) => alarm !== '' && alarm !== 'NONE')
}

/** The name of the control plane that leads etcd; undefined while there is none. */
export function leaderOf({ members, status }: Pick<EtcdFacts, 'members' | 'status'>) {
  const leader = status.find(({ leader }) => leader !== '')?.leader
  return members.find(({ id }) => id === leader)?.name
}
