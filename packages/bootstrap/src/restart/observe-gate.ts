import { reasonOf, type Cluster, type Output } from '@talosmith/core'
import {
  parseEtcdMembers,
  parseAlarms,
  parseMemberStatus,
  type EtcdFacts,
} from '@talosmith/clients/etcd'
import { type Kubernetes, type NodeObject } from '@talosmith/clients/kubernetes'
import { readMachineStatus, probe, type Talosctl, silenceOf } from '@talosmith/clients/talos'
import type { PublicSecrets } from '../generated/secrets.ts'
import type { GateFacts } from './gate.ts'

/** With what the gate looks. */
export interface GateTools {
  readonly cluster: Cluster
  readonly talosctl: Talosctl
  readonly kubernetes: Kubernetes
  readonly secrets: Pick<PublicSecrets, 'talosCa'>
}

const askMs = 15_000

/** Looks at everything the gate judges by, side by side. */
export async function observeGate(tools: GateTools): Promise<GateFacts> {
  const { cluster, talosctl, kubernetes } = tools
  const silent = await findSilent(tools)
  const via = cluster.controlPlanes.filter(({ name }) => !silent.has(name))
  const addresses = (list: readonly { readonly address: string }[]): string[] =>
    list.map(({ address }) => address)
  const [etcd, nodes, machines] = await Promise.all([
    observeMembers(tools, { silent }),
    kubernetes.list<NodeObject>('/api/v1/nodes').catch((error: unknown) => ({
      reason: reasonOf(error) ?? 'no reason given',
    })),
    via.length === 0
      ? { byAddress: new Map(), silence: 'no control plane answers' }
      : readMachineStatus(addresses(cluster.nodes), addresses(via), talosctl),
  ])
  return { etcd, nodes, machines }
}

/** The control planes whose Talos does not let us in, and why. */
async function findSilent({
  cluster,
  secrets,
}: Pick<GateTools, 'cluster' | 'secrets'>): Promise<ReadonlyMap<string, string>> {
  const probed = await Promise.all(
    cluster.controlPlanes.map(async ({ name, address }): Promise<[string, string][]> => {
      const seen = await probe(address, secrets.talosCa)
      if (seen.kind === 'ours') return []
      return [[name, seen.kind === 'maintenance' ? 'it has no machine config' : seen.reason]]
    }),
  )
  return new Map(probed.flat())
}

/**
 * Asks every control plane's etcd by itself, so that one that is down hides nothing of the others, and
 * why it did not answer is known.
 */
export async function observeMembers(
  tools: Omit<GateTools, 'kubernetes'>,
  {
    timeoutMs = askMs,
    silent,
  }: { readonly timeoutMs?: number; readonly silent?: ReadonlyMap<string, string> } = {},
): Promise<EtcdFacts & { unreachable: ReadonlySet<string> }> {
  const { cluster, talosctl } = tools
  const silence = new Map(silent ?? (await findSilent(tools)))
  const unreachable = new Set(silence.keys())
  const there = cluster.controlPlanes.filter(({ name }) => !unreachable.has(name))
  const options = { timeoutMs, nothrow: true }
  const askList = (address: string): Promise<readonly [Output, Output]> =>
    Promise.all([
      talosctl.ask([address], ['etcd', 'members'], options),
      talosctl.ask([address], ['etcd', 'alarm', 'list'], options),
    ])
  const [first] = there
  if (first === undefined) return { members: [], status: [], alarms: [], silence, unreachable }
  const [listed, status] = await Promise.all([
    askList(first.address),
    Promise.all(
      there.map(async ({ name, address }) => {
        const said = await talosctl.ask([address], ['etcd', 'status'], options)
        const [own] = parseMemberStatus(said.stdout)
        if (own === undefined) silence.set(name, silenceOf(said, timeoutMs))
        return own === undefined ? [] : [{ ...own, node: address }]
      }),
    ),
  ])
  // Where etcd does not answer, another one knows the members and the alarms.
  const [answering] = status.flat()
  const isSilent = answering !== undefined && silence.has(first.name)
  const [members, alarms] = isSilent ? await askList(answering.node) : listed
  return {
    members: parseEtcdMembers(members.stdout),
    status: status.flat(),
    alarms: parseAlarms(alarms.stdout),
    alarmSilence: alarms.exitCode === 0 ? undefined : silenceOf(alarms, timeoutMs),
    silence,
    unreachable,
  }
}
