import type { Cluster, Node } from '@talosmith/core'
import {
  probe,
  type Talosctl,
  parseResources,
  parseService,
  parseTable,
  talosReason,
} from '@talosmith/clients/talos'

/** Whether etcd runs anywhere, and if not, whether it ever did. */
export type EtcdState = 'running' | 'stopped' | 'none'

const askMs = 10_000

/**
 * Whether etcd runs on any control plane and, where it does not, whether any of them holds its data.
 * A second etcd beside the data of the first would be a second, empty cluster: so `none` is said only
 * when every control plane has answered. Throws, with the reason, when that can't be known yet.
 */
export async function observeEtcd(
  { controlPlanes }: Cluster,
  talosctl: Talosctl,
  { talosCa }: { readonly talosCa: string },
): Promise<EtcdState> {
  const probes = await Promise.all(
    controlPlanes.map(async (node) => ({ node, seen: await probe(node.address, talosCa) })),
  )
  const there = probes.filter(({ seen }) => seen.kind === 'ours').map(({ node }) => node.address)
  if (there.length > 0) {
    const { stdout } = await talosctl.ask(
      there,
      ['get', 'service', 'etcd', '--output', 'json'],
      // A machine where etcd does not run has no such resource, which fails the call.
      { via: there, timeoutMs: askMs, nothrow: true },
    )
    if (parseResources<{ running: boolean }>(stdout).some(({ spec }) => spec.running))
      return 'running'
  }
  for (const { node, seen } of probes)
    if (seen.kind !== 'ours')
      throw new Error(
        seen.kind === 'maintenance' ? `${node.name} has no machine config` : seen.reason,
      )
  return (await Promise.all(controlPlanes.map((node) => hasData(node, talosctl)))).includes(true)
    ? 'stopped'
    : 'none'
}

/** Talos itself decides by this folder whether etcd was bootstrapped (Bootstrap answers AlreadyExists). */
async function hasData({ name, address }: Node, talosctl: Talosctl): Promise<boolean> {
  try {
    const { stdout } = await talosctl.ask([address], ['list', '/var/lib/etcd'], {
      timeoutMs: askMs,
    })
    return stdout.split('\n').some((line) => /(?:^|\s)member$/.test(line.trimEnd()))
  } catch (error) {
    const reason = talosReason(error)
    if (/no such file or directory/.test(reason)) return false
    throw new Error(`${name} does not say whether it has etcd data: ${reason}`)
  }
}

/** Why etcd does not run on a machine, in the words of its last event; undefined: it runs. */
export async function etcdServiceFault(
  { name, address }: Node,
  talosctl: Talosctl,
): Promise<string | undefined> {
  try {
    const { stdout } = await talosctl.ask([address], ['service', 'etcd'], { timeoutMs: askMs })
    const service = parseService(stdout)
    if (service?.state === 'Running') return undefined
    return `etcd on ${name} is ${service?.state ?? 'not there'}: ${service?.event ?? 'no event'}`
  } catch (error) {
    return `${name} does not say how etcd is: ${talosReason(error)}`
  }
}

/** A member, as etcd lists it. */
export interface EtcdMember {
  readonly id: string
  /** Empty: the member was added, but never started. */
  readonly name: string
  readonly isLearner: boolean
}

/** What one control plane's etcd says of itself. */
export interface EtcdStatus {
  readonly node: string
  /** The ID of the member that runs there. */
  readonly member: string
  readonly leader: string
  readonly isLearner: boolean
  /** Alarms and troubles, such as `NOSPACE` or `etcdserver: no leader`; empty: none. */
  readonly errors: string
}

/** Reads `talosctl etcd members`; it has no JSON form. */
export function parseEtcdMembers(table: string): EtcdMember[] {
  return parseTable(table).map((row) => ({
    id: row['ID'] ?? '',
    name: row['HOSTNAME'] ?? '',
    isLearner: row['LEARNER'] === 'true',
  }))
}

/** Reads `talosctl etcd status`; it has no JSON form. */
export function parseEtcdStatus(table: string): EtcdStatus[] {
  return parseTable(table).map((row) => ({
    node: row['NODE'] ?? '',
    member: row['MEMBER'] ?? '',
    leader: row['LEADER'] ?? '',
    isLearner: row['LEARNER'] === 'true',
    errors: row['ERRORS'] ?? '',
  }))
}

/** What etcd was found to be. */
export interface ObservedEtcd {
  readonly members: readonly EtcdMember[]
  readonly status: readonly EtcdStatus[]
}

/** Why etcd is not as it should be: every control plane a voting member, one leader, no alarm; undefined: it is. */
export function etcdFault(
  controlPlanes: readonly Node[],
  { members, status }: ObservedEtcd,
): string | undefined {
  const missing = controlPlanes.filter(({ name }) => !members.some((one) => one.name === name))
  const strangers = members.filter(({ name }) => !controlPlanes.some((node) => node.name === name))
  if (missing.length > 0) return `${names(missing)} has not joined`
  if (strangers.length > 0) return `${names(strangers)} is a member, but no control plane`
  const learners = members.filter(({ isLearner }) => isLearner)
  if (learners.length > 0) return `${names(learners)} is still learning`
  const silent = controlPlanes.filter(({ address }) => !status.some(({ node }) => node === address))
  if (silent.length > 0) return `${names(silent)} does not say how it is`
  for (const { name, address } of controlPlanes) {
    const errors = status.find(({ node }) => node === address)?.errors ?? ''
    if (errors !== '') return `${name}: ${errors}`
  }
  const leaders = new Set(status.map(({ leader }) => leader))
  return leaders.size === 1 && members.some(({ id }) => leaders.has(id))
    ? undefined
    : 'its members do not agree on a leader'
}

function names(list: readonly { readonly name: string }[]): string {
  return list.map(({ name }) => name || 'a member that never started').join(', ')
}

/** Asks etcd's members about themselves. Throws, with the reason, when none answers. */
export async function askEtcd(
  { controlPlanes }: Cluster,
  talosctl: Talosctl,
  alive: readonly string[] = controlPlanes.map(({ address }) => address),
): Promise<ObservedEtcd> {
  const via = { via: alive, timeoutMs: askMs }
  try {
    const [members, status] = await Promise.all([
      talosctl.ask(alive.slice(0, 1), ['etcd', 'members'], via),
      talosctl.ask(alive, ['etcd', 'status'], { ...via, nothrow: true }),
    ])
    return {
      members: parseEtcdMembers(members.stdout),
      status: parseEtcdStatus(status.stdout),
    }
  } catch (error) {
    throw new Error(talosReason(error))
  }
}
