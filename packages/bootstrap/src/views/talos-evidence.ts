import type { Cluster, Node } from '@talosmith/core'
import { readSecrets } from '../generated/secrets.ts'
import {
  openTalosctl,
  type Talosctl,
  parseResources,
  parseTable,
  parseVersions,
  talosReason,
  readMachineStatus,
  type MachineStatus,
  probe,
  type ProbeResult,
} from '@talosmith/clients/talos'
import { readDisks, type DiskUse } from './talos-status.ts'
import { observeMembers } from '../restart/observe-gate.ts'
import type { EtcdFacts } from '@talosmith/clients/etcd'

/** A service of Talos with the last thing that happened to it. */
export interface ServiceEvidence {
  readonly id: string
  /** Running, Waiting, Preparing, Finished, Failed ... */
  readonly state: string
  /** OK, Fail or ?. */
  readonly health: string
  readonly event: string
  /** The end of its log, where it is not well; the kubelet's also while its machine is not ready. */
  readonly log: readonly string[]
}

/** What one machine's Talos says in answer to everything that a diagnosis asks. */
export interface TalosEvidence {
  readonly status: MachineStatus | undefined
  /** Why there is no status. */
  readonly silence: string
  readonly version: string | undefined
  readonly services: readonly ServiceEvidence[]
  /** Of its network interfaces, without the prefix length. */
  readonly addresses: readonly string[]
  /** Gateways of its default routes. */
  readonly gateways: readonly string[]
  readonly resolvers: readonly string[]
  /** How far its clock is ahead of ours, in seconds; undefined: it did not say. */
  readonly clockAheadS: number | undefined
  /** Whether it has the time from a time server; undefined: it did not say. */
  readonly timeSynced: boolean | undefined
  readonly disk: DiskUse | undefined
  /** The paths of its disks, by-id and the like too; none: it did not say. */
  readonly diskPaths: readonly string[]
  /** What Talos itself complains of (Diagnostics.runtime.talos.dev). */
  readonly diagnostics: readonly string[]
}

/** What Talos says, machine by machine, and etcd as its members see it. */
export interface TalosFindings {
  /** By machine name. */
  readonly probes: ReadonlyMap<string, ProbeResult>
  /** By machine name; one that did not answer is missing. */
  readonly machines: ReadonlyMap<string, TalosEvidence>
  readonly etcd: EtcdFacts
}

const probeMs = 2500
/** A machine that is short of processors answers late; together with the handshake still within half a minute. */
const askMs = 9000
const logsMs = 5000
/** Asked twice, one after the other; without a quorum it does not answer at all. */
const etcdMs = 5000
const logLines = 30

/**
 * Asks Talos on every machine that answers a handshake: ten processes for all of them together, two more a
 * machine for its clock, and one for the log of each service that is not well.
 */
export async function observeTalosEvidence(
  cluster: Cluster,
  tool?: Talosctl,
): Promise<TalosFindings> {
  const [talosctl, secrets] = await Promise.all([
    tool ?? openTalosctl(cluster),
    readSecrets(cluster),
  ])
  const talosCa = secrets?.talosCa
  const probes = new Map(
    await Promise.all(
      cluster.nodes.map(async ({ name, address }) => {
        const seen = await probe(address, talosCa, { timeoutMs: probeMs })
        return [name, seen] as const
      }),
    ),
  )
  const there = cluster.nodes.filter(({ name }) => probes.get(name)?.kind === 'ours')
  const gates = there.filter(({ role }) => role === 'controlplane')
  const nobody = { members: [], status: [], alarms: [], silence: new Map() }
  // Only control planes pass questions on to others; without one, each worker is asked by itself.
  const groups = gates.length > 0 ? [there] : there.map((node) => [node])
  const [etcd, ...answers] = await Promise.all([
    talosCa === undefined || gates.length === 0
      ? nobody
      : observeMembers({ cluster, talosctl, secrets: { talosCa } }, { timeoutMs: etcdMs }),
    ...groups.map((group) => askMachines(group, gates.length > 0 ? gates : group, talosctl)),
  ])
  return { probes, machines: new Map(answers.flat()), etcd }
}

async function askMachines(
  nodes: readonly Node[],
  gates: readonly Node[],
  talosctl: Talosctl,
): Promise<(readonly [string, TalosEvidence])[]> {
  if (nodes.length === 0) return []
  const [addresses, via] = [nodes.map(addressOf), gates.map(addressOf)]
  const ask = async (...args: string[]): Promise<string> =>
    (await talosctl.ask(addresses, args, { via, timeoutMs: askMs, nothrow: true })).stdout
  const get = (type: string) => ask('get', type, '--output', 'json')
  const [
    statuses,
    versions,
    services,
    found,
    routes,
    resolvers,
    times,
    mounts,
    disks,
    complaints,
    clocks,
  ] = await Promise.all([
    readMachineStatus(addresses, via, talosctl, askMs),
    ask('version').then((text) => parseVersions(text, nodes.length === 1 ? addresses[0] : '')),
    ask('services').then(parseTable),
    get('addresses').then(parseResources<{ address: string }>),
    get('routes').then(parseResources<{ dst?: string; gateway?: string }>),
    get('resolvers').then(parseResources<{ dnsServers?: string[] }>),
    get('timestatus').then(parseResources<{ synced: boolean }>),
    ask('mounts').then(readDisks),
    get('disks').then(parseResources<{ dev_path: string; symlinks?: string[] }>),
    get('diagnostics').then(parseResources<{ message: string; details?: string[] }>),
    Promise.all(nodes.map((node) => readClock(node, via, talosctl))),
  ])
  const at = <T extends { readonly node: string }>(all: readonly T[], { address }: Node): T[] =>
    all.filter(({ node }) => node === address)
  return Promise.all(
    nodes.map(async (node, index): Promise<readonly [string, TalosEvidence]> => {
      const status = statuses.byAddress.get(node.address)
      return [
        node.name,
        {
          status,
          version: versions.get(node.address),
          silence: statuses.silence,
          services: await withLogs(
            services.filter((row) => row['NODE'] === node.address),
            status?.status.ready === false,
            node,
            via,
            talosctl,
          ),
          addresses: at(found, node).map(({ spec }) => spec.address.replace(/\/.*$/, '')),
          gateways: at(routes, node).flatMap(({ spec }) =>
            (spec.dst ?? '') === '' && spec.gateway !== undefined && spec.gateway !== ''
              ? [spec.gateway]
              : [],
          ),
          resolvers: at(resolvers, node).flatMap(({ spec }) => spec.dnsServers ?? []),
          clockAheadS: clocks[index],
          timeSynced: at(times, node)[0]?.spec.synced,
          disk: mounts.get(node.address),
          diskPaths: at(disks, node).flatMap(({ spec }) => [
            spec.dev_path,
            ...(spec.symlinks ?? []),
          ]),
          diagnostics: at(complaints, node).map(({ spec }) =>
            [spec.message, ...(spec.details ?? [])].join(': '),
          ),
        },
      ]
    }),
  )
}

/** When the machine booted and how long ago, by its own clock, is its time of day. */
async function readClock(
  { address }: Node,
  via: readonly string[],
  talosctl: Talosctl,
): Promise<number | undefined> {
  const read = async (path: string): Promise<string> =>
    (await talosctl.ask([address], ['read', path], { via, timeoutMs: askMs, nothrow: true })).stdout
  const [stat, uptime] = await Promise.all([read('/proc/stat'), read('/proc/uptime')])
  const booted = /^btime (\d+)$/m.exec(stat)?.[1]
  const since = /^[\d.]+/.exec(uptime)?.[0]
  if (booted === undefined || since === undefined) return undefined
  return Math.round(Number(booted) + Number(since) - Date.now() / 1000)
}

/** Stages in which services are ended on purpose, or are not there yet. */
const passing = /^(?:rebooting|shutting down|upgrading|resetting|installing)$/
/** Some extensions have their work done and end. */
const mayFinish = /^ext-/

/**
 * Whether a service was ended, or failed, on a machine that is to go on running; not known of one that does
 * not say its stage.
 */
export function hasEnded(
  service: Pick<ServiceEvidence, 'id' | 'state'> | undefined,
  status: Pick<MachineStatus, 'stage'> | undefined,
): boolean {
  if (service === undefined || status === undefined || passing.test(status.stage)) return false
  return service.state === 'Failed' || (service.state === 'Finished' && !mayFinish.test(service.id))
}

/** A service that runs and is not said to be ill is well; one with no health check says `?`. */
export function isWell({ state, health }: Pick<ServiceEvidence, 'state' | 'health'>): boolean {
  return state === 'Running' && health !== 'Fail'
}

async function withLogs(
  rows: readonly Readonly<Record<string, string>>[],
  withKubelet: boolean,
  { address }: Node,
  via: readonly string[],
  talosctl: Talosctl,
): Promise<ServiceEvidence[]> {
  return Promise.all(
    rows.map(async (row) => {
      const service = {
        id: row['SERVICE'] ?? '',
        state: row['STATE'] ?? '',
        health: row['HEALTH'] ?? '',
        event: row['LAST EVENT'] ?? '',
      }
      // A kubelet that may not register is well by its own account.
      if (isWell(service) && !(withKubelet && service.id === 'kubelet'))
        return { ...service, log: [] }
      const args = ['logs', service.id, '--tail', String(logLines)]
      const said = await talosctl
        .ask([address], args, { via, timeoutMs: logsMs, nothrow: true })
        .then(({ stdout }) => stdout, talosReason)
      const lines = said.split('\n').map((line) => line.replace(`${address}: `, ''))
      return { ...service, log: lines.filter((line) => line !== '') }
    }),
  )
}

function addressOf({ address }: Node): string {
  return address
}
