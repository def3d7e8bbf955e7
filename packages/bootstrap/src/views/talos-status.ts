/** Talos as cluster:status shows it. */
import { etcdStatusQuestion, type EtcdStatus } from '@talosmith/clients/etcd'
import {
  addressesQuestion,
  extensionsQuestion,
  machineStatusQuestion,
  observeTalos,
  openTalosctl,
  statusTimeouts,
  varUseQuestion,
  versionQuestion,
  type AnswersTo,
  type DiskUse,
  type ProbeResult,
  type Talosctl,
} from '@talosmith/clients/talos'
import type { Answer, Cluster, Node } from '@talosmith/core'
import { readSecrets } from '../secrets/secrets.ts'

/** What Talos on one machine reports; what it does not report is undefined. */
export interface TalosFacts {
  /** The machine stage of Talos, or `maintenance`. */
  readonly stage: string | undefined
  readonly ready: boolean | undefined
  readonly version: string | undefined
  readonly schematic: string | undefined
  /** The file system of /var. */
  readonly disk: DiskUse | undefined
  /** Why something is missing; undefined: nothing is. */
  readonly reason: string | undefined
}

/** What Talos reports on the machines of a cluster. */
export interface TalosStatus {
  /** By machine name. */
  readonly machines: ReadonlyMap<string, TalosFacts>
  /** The status of each running etcd member. */
  readonly etcd: Answer<readonly EtcdStatus[]>
  /** The control plane that has the VIP, by name; undefined: none. */
  readonly vipHolder: Answer<string | undefined>
}

const ofMachines = {
  status: machineStatusQuestion,
  version: versionQuestion,
  extensions: extensionsQuestion,
  disk: varUseQuestion,
  etcd: etcdStatusQuestion,
}
const all = { ...ofMachines, addresses: { ...addressesQuestion, role: 'controlplane' } as const }

/**
 * Queries the status of Talos on all machines: a handshake each, and five processes for all configured
 * machines, one more with a VIP. Stopped machines cost no more than the timeout of the handshake.
 */
export async function observeTalosStatus(cluster: Cluster, tool?: Talosctl): Promise<TalosStatus> {
  const { nodes, controlPlanes, vip } = cluster
  const [talosctl, secrets] = await Promise.all([
    tool ?? openTalosctl(cluster),
    readSecrets(cluster),
  ])
  const { probes, answers } = await observeTalos<typeof ofMachines & Partial<typeof all>>(cluster, {
    talosctl,
    talosCa: secrets?.talosCa,
    questions: vip === undefined ? ofMachines : all,
    timeouts: statusTimeouts,
    asksWorkersAlone: false,
  })
  const hasControlPlane = controlPlanes.some(({ name }) => answers.has(name))
  const machines = nodes.map(({ name }): readonly [string, TalosFacts] => {
    const own = answers.get(name)
    return [
      name,
      own === undefined || !hasControlPlane ? factsOfUnqueried(probes.get(name)) : factsOf(own),
    ]
  })
  const silent = { ok: false, reason: 'no control plane answers' } as const
  return {
    machines: new Map(machines),
    etcd: hasControlPlane ? etcdOf([...answers.values()]) : silent,
    vipHolder: hasControlPlane ? holderOf(cluster, answers) : silent,
  }
}

function factsOf({ status, version, extensions, disk }: AnswersTo<typeof ofMachines>): TalosFacts {
  return {
    stage: status.ok ? status.value.stage : undefined,
    ready: status.ok ? status.value.status.ready : undefined,
    version: version.ok ? version.value : undefined,
    schematic: extensions.ok ? extensions.value.schematic : undefined,
    disk: disk.ok ? disk.value : undefined,
    reason: status.ok ? undefined : `Talos does not report its status: ${status.reason}`,
  }
}

const nothing = {
  stage: undefined,
  ready: undefined,
  version: undefined,
  schematic: undefined,
  disk: undefined,
}

function factsOfUnqueried(result: ProbeResult | undefined): TalosFacts {
  if (result?.kind === 'maintenance')
    return { ...nothing, stage: 'maintenance', reason: 'it waits for its machine config' }
  if (result?.kind === 'ours')
    return {
      ...nothing,
      reason: 'it runs, but is queried through control planes, and none answers',
    }
  return { ...nothing, reason: result?.reason ?? 'it was not queried' }
}

function etcdOf(answers: readonly AnswersTo<typeof ofMachines>[]): TalosStatus['etcd'] {
  const value = answers.flatMap(({ etcd }) => (etcd.ok ? [etcd.value] : []))
  return value.length === 0
    ? { ok: false, reason: 'etcd runs on no control plane that answers' }
    : { ok: true, value }
}

/** Which control plane has the VIP; not known while none shows it and one does not report its addresses. */
function holderOf(
  { vip, controlPlanes }: Pick<Cluster, 'vip' | 'controlPlanes'>,
  answers: ReadonlyMap<string, { readonly addresses?: Answer<readonly string[]> }>,
): TalosStatus['vipHolder'] {
  if (vip === undefined) return { ok: true, value: undefined }
  const addressesOf = ({ name }: Node) => answers.get(name)?.addresses
  const holder = controlPlanes.find((node) => {
    const addresses = addressesOf(node)
    return addresses?.ok === true && addresses.value.includes(vip)
  })
  const silent = controlPlanes.filter((node) => addressesOf(node)?.ok !== true)
  if (holder === undefined && silent.length > 0) {
    const names = silent.map(({ name }) => name).join(', ')
    return { ok: false, reason: `${names} does not report its addresses` }
  }
  return { ok: true, value: holder?.name }
}
