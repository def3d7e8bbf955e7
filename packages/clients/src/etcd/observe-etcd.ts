/** The one way to look at etcd. */
import type { Cluster, Node, Output } from '@talosmith/core'
import {
  askTalos,
  etcdMs,
  probeMachines,
  reachableOf,
  silenceOf,
  unreachableBecause,
  type Probes,
  type Talosctl,
} from '@talosmith/clients/talos'
import {
  etcdStatusQuestion,
  parseEtcdAlarms,
  parseEtcdMembers,
  type EtcdFacts,
  type EtcdStatus,
} from './etcd-facts.ts'

/** etcd as it was found. */
export interface ObservedEtcd extends EtcdFacts {
  /** Names of the control planes whose Talos does not let us in. */
  readonly unreachable: ReadonlySet<string>
}

/** With what and for how long one looks at etcd. */
export interface EtcdOptions {
  readonly talosCa: string | undefined
  /** Handshakes with the control planes that were made just now. */
  readonly probes?: Probes
  readonly timeoutMs?: number
  /** Without its list, an alarm is shown by the errors of its member all the same. */
  readonly asksAlarms?: boolean
}

/**
 * Looks at etcd in three processes. A control plane that is left without an answer is asked once more by
 * itself, so that one that is down hides nothing of the others, and why it did not answer is known.
 */
export async function observeEtcdFacts(
  { controlPlanes }: Pick<Cluster, 'controlPlanes'>,
  talosctl: Talosctl,
  { talosCa, timeoutMs = etcdMs, asksAlarms = true, ...given }: EtcdOptions,
): Promise<ObservedEtcd> {
  const probes = given.probes ?? (await probeMachines(controlPlanes, talosCa))
  const silence = new Map(
    controlPlanes.flatMap(({ name }): [string, string][] => {
      const result = probes.get(name)
      const reason = result === undefined ? 'it was not queried' : unreachableBecause(result)
      return reason === undefined ? [] : [[name, reason]]
    }),
  )
  const unreachable = new Set(silence.keys())
  const there = reachableOf(controlPlanes, probes)
  const [first] = there
  if (first === undefined) {
    const memberSilence = 'no control plane answers'
    return { members: [], memberSilence, status: [], alarms: [], silence, unreachable }
  }
  const ask = ({ address }: Node, ...args: string[]) =>
    talosctl.ask([address], args, { timeoutMs, nothrow: true })
  const askLists = async (node: Node): Promise<Lists> => {
    const [members, alarms] = await Promise.all([
      ask(node, 'etcd', 'members'),
      asksAlarms ? ask(node, 'etcd', 'alarm', 'list') : undefined,
    ])
    return { members, alarms }
  }
  const askStatus = (nodes: readonly Node[]) =>
    askTalos(nodes, { status: etcdStatusQuestion }, talosctl, { timeoutMs })
  const [listed, answers] = await Promise.all([askLists(first), askStatus(there)])
  const status = new Map<string, EtcdStatus>()
  const take = (own: typeof answers): void => {
    for (const [name, { status: answer }] of own)
      if (answer.ok) status.set(name, answer.value)
      else silence.set(name, answer.reason)
  }
  take(answers)
  const silent = there.filter(({ name }) => !status.has(name))
  const answering = there.find(({ name }) => status.has(name))
  const [again, alone] = await Promise.all([
    // Where etcd does not answer, another one knows the members and the alarms.
    silent.includes(first) && answering ? askLists(answering) : listed,
    there.length === 1 ? [] : Promise.all(silent.map((node) => askStatus([node]))),
  ])
  for (const own of alone) take(own)
  for (const name of status.keys()) silence.delete(name)
  return { ...readLists(again, timeoutMs), status: [...status.values()], silence, unreachable }
}

/** What one member knows of all; undefined: not asked. */
interface Lists {
  readonly members: Output
  readonly alarms: Output | undefined
}

function readLists(
  lists: Lists,
  timeoutMs: number,
): Pick<EtcdFacts, 'members' | 'memberSilence' | 'alarms' | 'alarmSilence'> {
  const members = parseEtcdMembers(lists.members.stdout)
  const { alarms } = lists
  const isKnown = alarms === undefined || alarms.exitCode === 0
  return {
    members,
    memberSilence: members.length > 0 ? undefined : silenceOf(lists.members, timeoutMs),
    alarms: parseEtcdAlarms(alarms?.stdout ?? ''),
    alarmSilence: isKnown ? undefined : silenceOf(alarms, timeoutMs),
  }
}
