/** Content and marker of the NoCloud seed ISOs. */
import { createHash } from 'node:crypto'
import type { Cluster, Node } from '@talosmith/core'
import { stringify, type ToStringOptions } from 'yaml'

/** The files of a machine's seed ISO. No user-data: with an empty one, Talos would not enter maintenance mode. */
export interface Seed {
  readonly metaData: string
  readonly networkConfig: string
  /** Digest of what the settings determine; also part of the ISO's marker. */
  readonly digest: string
}

/** Strings are quoted: YAML 1.1 parses a MAC address that has only digits as a base 60 number. */
const quoted: ToStringOptions = { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' }

/**
 * The NoCloud files of a node (internal/app/machined/.../platform/nocloud/metadata.go). Network config version 2,
 * because Talos ignores the name servers of the subnets in version 1. The name under both keys: before 1.10.3,
 * MetadataConfig.InternalDNS had a JSON tag, which yaml.v3 does not read, so `local-hostname` was ignored.
 */
export function describeSeed({ settings, name: cluster, prefixLength }: Cluster, node: Node): Seed {
  const identity = stringify(
    { 'instance-id': `${cluster}-${node.name}`, 'local-hostname': node.name },
    quoted,
  )
  const networkConfig = stringify(
    {
      version: 2,
      ethernets: {
        eth0: {
          match: { macaddress: node.mac },
          addresses: [`${node.address}/${prefixLength}`],
          gateway4: settings.NETWORK_GATEWAY,
          nameservers: { addresses: settings.NETWORK_NAMESERVERS },
        },
      },
    },
    quoted,
  )
  // Not of `hostname`, which repeats the name: seeds from before it was written are not to be replaced.
  const digest = createHash('sha256')
    .update(identity)
    .update('\0')
    .update(networkConfig)
    .digest('hex')
    .slice(0, 32)
  const metaData = identity + stringify({ hostname: node.name }, quoted)
  return { metaData, networkConfig, digest }
}

/** The owner and content of a seed ISO, as written into the ISO. */
export interface SeedMarker {
  readonly cluster: string
  /** The ID of that cluster; undefined: created before clusters had IDs. */
  readonly clusterId?: string | undefined
  readonly node: string
  readonly digest: string
}

/**
 * The marker as the ISO's publisher and application ID: it needs no second file, outlives the domain, and is
 * readable without mounting. ISO 9660 allows capital letters only.
 */
export function encodeSeedMarker({ cluster, clusterId, node, digest }: SeedMarker): {
  readonly publisher: string
  readonly application: string
} {
  return {
    publisher: `TALOSMITH CLUSTER=${cluster} NODE=${node}`.toUpperCase(),
    application:
      `TALOSMITH SEED=${digest}${clusterId === undefined ? '' : ` ID=${clusterId}`}`.toUpperCase(),
  }
}

/** Sector 16 of an ISO is its primary volume descriptor (ECMA-119 8.4). */
export const descriptorSector = 16

/** The volume label in an ISO's primary volume descriptor; undefined: not an ISO. */
export function readLabel(descriptor: Uint8Array): string | undefined {
  const text = Buffer.from(descriptor).toString('latin1')
  return text.slice(1, 6) === 'CD001' ? text.slice(40, 72).trim() : undefined
}

/** The volume labels that Talos looks for. */
export const seedLabels: readonly string[] = ['cidata', 'CIDATA']

/** The marker in an ISO's primary volume descriptor; undefined: not created by Talosmith. */
export function readSeedMarker(descriptor: Uint8Array): SeedMarker | undefined {
  const field = (offset: number): string =>
    Buffer.from(descriptor)
      .toString('latin1', offset, offset + 128)
      .trim()
  const [, cluster, node] = /^TALOSMITH CLUSTER=(\S+) NODE=(\S+)$/.exec(field(318)) ?? []
  const [, digest, clusterId] = /^TALOSMITH SEED=(\S+)(?: ID=(\S+))?$/.exec(field(574)) ?? []
  if (cluster === undefined || node === undefined || digest === undefined) return undefined
  return {
    cluster: cluster.toLowerCase(),
    clusterId: clusterId?.toLowerCase(),
    node: node.toLowerCase(),
    digest: digest.toLowerCase(),
  }
}

/** A cluster of the same name as ours, told apart by its ID. */
export function nameWithId(cluster: string, clusterId: string | undefined): string {
  return `${cluster} (${clusterId ?? 'without an ID'})`
}

/** What the machine's network config in a seed ISO has, as `describeSeed` writes it. */
export interface SeedAddress {
  readonly mac: string
  /** With its prefix length: 10.0.0.70/24. */
  readonly address: string
}

/** The addresses in `seedAddressText`; undefined: written by hand, or by a very old version. */
export function readSeedAddress(text: string): SeedAddress | undefined {
  const [, mac, address] = /^((?:[0-9a-f]{2}:){5}[0-9a-f]{2}),([\d.]+\/\d+)$/.exec(text) ?? []
  return mac === undefined || address === undefined ? undefined : { mac, address }
}
