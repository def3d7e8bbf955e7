/** Everything about Talos that a diagnosis uses. */
import { observeEtcdFacts, type EtcdFacts } from '@talosmith/clients/etcd'
import {
  addressesQuestion,
  diagnosisEtcdMs,
  diagnosisTimeouts,
  logsMs,
  machineStatusQuestion,
  observeTalos,
  openTalosctl,
  probeMachines,
  readFailedPulls,
  reachableOf,
  resourcesOf,
  tableOf,
  talosReason,
  varUseQuestion,
  versionQuestion,
  volumesQuestion,
  type AnswersTo,
  type DiskUse,
  type MachineStatus,
  type Probes,
  type Talosctl,
  type Volume,
} from '@talosmith/clients/talos'
import type { Answer, Cluster, Node } from '@talosmith/core'
import { readSecrets } from '../secrets/secrets.ts'

/** A service of Talos with its last event. */
export interface ServiceEvidence {
  readonly id: string
  /** Running, Waiting, Preparing, Finished, Failed ... */
  readonly state: string
  /** OK, Fail or ?. */
  readonly health: string
  readonly event: string
  /** The end of its log when it is unhealthy; the kubelet's also while its machine is not ready. */
  readonly log: readonly string[]
}

/** What Talos on one machine reports to a diagnosis. */
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
  /** How far its clock is ahead of this computer, in seconds; undefined: not reported. */
  readonly clockAheadS: number | undefined
  /** Whether its clock is synchronized with a time server; undefined: not reported. */
  readonly timeSynced: boolean | undefined
  readonly disk: DiskUse | undefined
  /** The paths of its disks, including by-id links; empty: not reported. */
  readonly diskPaths: readonly string[]
  /** Lines of Talos' own log about image pulls that failed, while a service is being prepared. */
  readonly pulls?: readonly string[]
  /** Volumes that Talos could not make or open. */
  readonly failedVolumes?: readonly Volume[]
  /** The warnings of Talos itself (Diagnostics.runtime.talos.dev). */
  readonly diagnostics: readonly string[]
}

/** What Talos reports on each machine, and the state of etcd. */
export interface TalosFindings {
  readonly probes: Probes
  /** By machine name; one that did not answer is missing. */
  readonly machines: ReadonlyMap<string, TalosEvidence>
  readonly etcd: EtcdFacts
}

const logLines = 30

type Row = Readonly<Record<string, string>>

const questions = {
  status: machineStatusQuestion,
  version: versionQuestion,
  services: tableOf<readonly Row[]>(['services'], (rows) => rows),
  addresses: addressesQuestion,
  gateways: resourcesOf<{ dst?: string; gateway?: string }, readonly string[]>('routes', (specs) =>
    specs.flatMap(({ dst = '', gateway = '' }) => (dst === '' && gateway !== '' ? [gateway] : [])),
  ),
  resolvers: resourcesOf<{ dnsServers?: string[] }, readonly string[]>('resolvers', (specs) =>
    specs.flatMap(({ dnsServers = [] }) => dnsServers),
  ),
  timeSynced: resourcesOf<{ synced: boolean }, boolean | undefined>(
    'timestatus',
    ([spec]) => spec?.synced,
  ),
  disk: varUseQuestion,
  diskPaths: resourcesOf<{ dev_path: string; symlinks?: string[] }, readonly string[]>(
    'disks',
    (specs) => specs.flatMap(({ dev_path, symlinks = [] }) => [dev_path, ...symlinks]),
  ),
  volumes: volumesQuestion,
  diagnostics: resourcesOf<{ message: string; details?: string[] }, readonly string[]>(
    'diagnostics',
    (specs) => specs.map(({ message, details = [] }) => [message, ...details].join(': ')),
  ),
}

/**
 * Queries Talos on every machine that answers a handshake: eleven processes for all of them together, two more
 * per machine for its clock, and one for the log of each unhealthy service.
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
  const { probeMs: timeoutMs } = diagnosisTimeouts
  const probes = await probeMachines(cluster.nodes, talosCa, timeoutMs)
  const there = reachableOf(cluster.nodes, probes)
  const controlPlanes = there.filter(({ role }) => role === 'controlplane')
  // As for the other queries: without a control plane, each worker is its own endpoint.
  const endpointsOf = (node: Node) =>
    (controlPlanes.length > 0 ? controlPlanes : [node]).map(({ address }) => address)
  const [etcd, { answers }, clocks] = await Promise.all([
    observeEtcdFacts(cluster, talosctl, { talosCa, probes, timeoutMs: diagnosisEtcdMs }),
    observeTalos(cluster, { talosctl, talosCa, probes, questions, timeouts: diagnosisTimeouts }),
    Promise.all(there.map((node) => readClock(node, endpointsOf(node), talosctl))),
  ])
  const machines = await Promise.all(
    there.map(async (node, index): Promise<[string, TalosEvidence][]> => {
      const own = answers.get(node.name)
      if (own === undefined) return []
      const isUnready = own.status.ok && !own.status.value.status.ready
      const rows = own.services.ok ? own.services.value : []
      const isPreparing = rows.some((row) => row['STATE'] === 'Preparing')
      const [services, pulls] = await Promise.all([
        withLogs(rows, isUnready, node, endpointsOf(node), talosctl),
        isPreparing ? readFailedPulls(node, talosctl, { endpoints: endpointsOf(node) }) : [],
      ])
      return [[node.name, { ...evidenceOf(own), services, pulls, clockAheadS: clocks[index] }]]
    }),
  )
  return { probes, machines: new Map(machines.flat()), etcd }
}

function evidenceOf(
  own: AnswersTo<typeof questions>,
): Omit<TalosEvidence, 'services' | 'pulls' | 'clockAheadS'> {
  const { status } = own
  const valueOf = <T>(answer: Answer<T>): T | undefined => (answer.ok ? answer.value : undefined)
  return {
    status: valueOf(status),
    silence: status.ok ? '' : status.reason,
    version: valueOf(own.version),
    addresses: valueOf(own.addresses) ?? [],
    gateways: valueOf(own.gateways) ?? [],
    resolvers: valueOf(own.resolvers) ?? [],
    timeSynced: valueOf(own.timeSynced),
    disk: valueOf(own.disk),
    diskPaths: valueOf(own.diskPaths) ?? [],
    failedVolumes: (valueOf(own.volumes) ?? []).filter(({ phase }) => phase === 'failed'),
    diagnostics: valueOf(own.diagnostics) ?? [],
  }
}

/** Computes how far a clock is ahead: boot time plus uptime is the time of the machine. */
async function readClock(
  { address }: Node,
  endpoints: readonly string[],
  talosctl: Talosctl,
): Promise<number | undefined> {
  const options = { endpoints, timeoutMs: diagnosisTimeouts.askMs, nothrow: true }
  const read = async (path: string): Promise<string> =>
    (await talosctl.ask([address], ['read', path], options)).stdout
  const [stat, uptime] = await Promise.all([read('/proc/stat'), read('/proc/uptime')])
  const booted = /^btime (\d+)$/m.exec(stat)?.[1]
  const since = /^[\d.]+/.exec(uptime)?.[0]
  if (booted === undefined || since === undefined) return undefined
  return Math.round(Number(booted) + Number(since) - Date.now() / 1000)
}

/** Stages in which services are stopped on purpose, or not started yet. */
const transientStages = /^(?:rebooting|shutting down|upgrading|resetting|installing)$/
/** Some extension services finish once their work is done. */
const mayFinish = /^ext-/

/**
 * Whether a service has finished or failed on a machine that keeps running. False when the stage of the
 * machine is not known.
 */
export function hasEnded(
  service: Pick<ServiceEvidence, 'id' | 'state'> | undefined,
  status: Pick<MachineStatus, 'stage'> | undefined,
): boolean {
  if (service === undefined || status === undefined || transientStages.test(status.stage))
    return false
  return service.state === 'Failed' || (service.state === 'Finished' && !mayFinish.test(service.id))
}

/** Whether a service runs and is not reported as unhealthy; without a health check its health is `?`. */
export function isWell({ state, health }: Pick<ServiceEvidence, 'state' | 'health'>): boolean {
  return state === 'Running' && health !== 'Fail'
}

async function withLogs(
  rows: readonly Row[],
  withKubelet: boolean,
  { address }: Node,
  endpoints: readonly string[],
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
      // A kubelet that cannot register its node still reports that it is healthy.
      if (isWell(service) && !(withKubelet && service.id === 'kubelet'))
        return { ...service, log: [] }
      const args = ['logs', service.id, '--tail', String(logLines)]
      const output = await talosctl
        .ask([address], args, { endpoints, timeoutMs: logsMs, nothrow: true })
        .then(({ stdout }) => stdout, talosReason)
      const lines = output.split('\n').map((line) => line.replace(`${address}: `, ''))
      return { ...service, log: lines.filter((line) => line !== '') }
    }),
  )
}
