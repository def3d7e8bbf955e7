import type { Cluster, Node } from '@talosmith/core'
import { parseEtcdStatus, type EtcdStatus } from '@talosmith/clients/etcd'
import type { Answer } from '../health/health.ts'
import {
  readMachineStatus,
  probe,
  type ProbeResult,
  openTalosctl,
  type Talosctl,
  parseResources,
  parseTable,
  parseVersions,
} from '@talosmith/clients/talos'
import { answer } from '../health/observe-health.ts'
import { readSecrets } from '../generated/secrets.ts'

/** How full a file system is. */
export interface DiskUse {
  readonly sizeGb: number
  readonly usedGb: number
}

/** What one machine's Talos says of itself; what it does not say is undefined. */
export interface TalosFacts {
  /** Talos' own word for where the machine is, or `maintenance`. */
  readonly stage: string | undefined
  readonly ready: boolean | undefined
  readonly version: string | undefined
  readonly schematic: string | undefined
  /** The file system of /var. */
  readonly disk: DiskUse | undefined
  /** Why something is missing; undefined: nothing is. */
  readonly reason: string | undefined
}

/** What the cluster's Talos says. */
export interface TalosStatus {
  /** By machine name. */
  readonly machines: ReadonlyMap<string, TalosFacts>
  /** What each etcd that runs says of itself. */
  readonly etcd: Answer<readonly EtcdStatus[]>
  /** The control plane that has the VIP, by name; undefined: none. */
  readonly vipHolder: Answer<string | undefined>
}

/** Together less than the ten seconds in which a status has to be there. */
const probeMs = 2500
const askMs = 4000

/**
 * Asks Talos on all machines how it is: a handshake each, and five processes for all that have our config,
 * one more with a VIP. Machines that are off cost no more than the handshake's time limit.
 */
export async function observeTalosStatus(cluster: Cluster, tool?: Talosctl): Promise<TalosStatus> {
  const { nodes, controlPlanes, vip } = cluster
  const [talosctl, secrets] = await Promise.all([
    tool ?? openTalosctl(cluster),
    readSecrets(cluster),
  ])
  const probes = new Map(
    await Promise.all(
      nodes.map(async (node) => {
        const seen = await probe(node.address, secrets?.talosCa, { timeoutMs: probeMs })
        return [node, seen] as const
      }),
    ),
  )
  const isThere = (node: Node): boolean => probes.get(node)?.kind === 'ours'
  const there = nodes.filter(isThere).map(addressOf)
  const via = controlPlanes.filter(isThere).map(addressOf)
  if (via.length === 0) {
    const silent = { ok: false, reason: 'no control plane answers' } as const
    const machines = nodes.map((node) => [node.name, unasked(probes.get(node))] as const)
    return { machines: new Map(machines), etcd: silent, vipHolder: silent }
  }
  const ask = async (addresses: readonly string[], args: readonly string[]): Promise<string> =>
    (await talosctl.ask(addresses, args, { via, timeoutMs: askMs, nothrow: true })).stdout
  const [statuses, versions, extensions, mounts, etcd, vipHolder] = await Promise.all([
    readMachineStatus(there, via, talosctl, askMs),
    ask(there, ['version']).then((text) => parseVersions(text, there.length === 1 ? there[0] : '')),
    ask(there, ['get', 'extensions', '--output', 'json']).then(readSchematics),
    ask(there, ['mounts']).then(readDisks),
    ask(via, ['etcd', 'status']).then(readEtcd),
    vip === undefined
      ? ({ ok: true, value: undefined } as const)
      : answer(async () =>
          holderOf(vip, controlPlanes, await ask(via, ['get', 'addresses', '--output', 'json'])),
        ),
  ])
  const machines = nodes.map((node): readonly [string, TalosFacts] => {
    if (!isThere(node)) return [node.name, unasked(probes.get(node))]
    const status = statuses.byAddress.get(node.address)
    return [
      node.name,
      {
        stage: status?.stage,
        ready: status?.status.ready,
        version: versions.get(node.address),
        schematic: extensions.get(node.address),
        disk: mounts.get(node.address),
        reason:
          status === undefined ? `Talos does not say how it is: ${statuses.silence}` : undefined,
      },
    ]
  })
  return { machines: new Map(machines), etcd, vipHolder }
}

const nothing = {
  stage: undefined,
  ready: undefined,
  version: undefined,
  schematic: undefined,
  disk: undefined,
}

function unasked(seen: ProbeResult | undefined): TalosFacts {
  if (seen?.kind === 'maintenance')
    return { ...nothing, stage: 'maintenance', reason: 'it waits for its machine config' }
  if (seen?.kind === 'ours')
    return { ...nothing, reason: 'it runs, but is asked through control planes, and none answers' }
  return { ...nothing, reason: seen?.reason ?? 'it was not asked' }
}

/** The schematic of each machine: Talos lists it as an extension of that name. */
function readSchematics(text: string): ReadonlyMap<string, string> {
  const extensions = parseResources<{ metadata: { name: string; version: string } }>(text)
  return new Map(
    extensions
      .filter(({ spec }) => spec.metadata.name === 'schematic')
      .map(({ node, spec }) => [node, spec.metadata.version]),
  )
}

/** Size and use of /var by machine, from `talosctl mounts`; it has no JSON form. */
export function readDisks(table: string): ReadonlyMap<string, DiskUse> {
  return new Map(
    parseTable(table)
      .filter((row) => row['MOUNTED ON'] === '/var')
      .map((row) => [
        row['NODE'] ?? '',
        { sizeGb: Number(row['SIZE(GB)']), usedGb: Number(row['USED(GB)']) },
      ]),
  )
}

function readEtcd(table: string): TalosStatus['etcd'] {
  const value = parseEtcdStatus(table)
  return value.length === 0
    ? { ok: false, reason: 'etcd runs on no control plane that answers' }
    : { ok: true, value }
}

/** Who has the VIP. Throws when nobody is seen to have it and a control plane has not said its addresses. */
function holderOf(vip: string, controlPlanes: readonly Node[], text: string): string | undefined {
  const found = parseResources<{ address: string }>(text)
  const holder = found.find(({ spec }) => spec.address.split('/')[0] === vip)?.node
  const silent = controlPlanes.filter(({ address }) => !found.some(({ node }) => node === address))
  if (holder === undefined && silent.length > 0)
    throw new Error(`${silent.map(({ name }) => name).join(', ')} does not say its addresses`)
  return controlPlanes.find(({ address }) => address === holder)?.name
}

function addressOf({ address }: Node): string {
  return address
}
