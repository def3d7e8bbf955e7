import { createHash } from 'node:crypto'
import type { Cluster, Node } from '@talosmith/core'
import { stringify, type ToStringOptions } from 'yaml'

/** What the seed ISO of a machine holds. No user-data: an empty one would keep Talos from maintenance mode. */
export interface Seed {
  readonly metaData: string
  readonly networkConfig: string
  /** Tells one content from another; also written into the ISO. */
  readonly digest: string
}

/** YAML 1.1 reads a MAC address of digits alone as a number to the base of 60, so texts are quoted. */
const quoted: ToStringOptions = { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' }

/**
 * NoCloud's files for a node. Network configuration version 2, because Talos ignores the name servers of
 * version 1's subnets (internal/app/machined/.../platform/nocloud/metadata.go).
 */
export function describeSeed({ settings, name: cluster, prefixLength }: Cluster, node: Node): Seed {
  const metaData = stringify(
    {
      'instance-id': `${cluster}-${node.name}`,
      'local-hostname': node.name,
    },
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
  const digest = createHash('sha256')
    .update(metaData)
    .update('\0')
    .update(networkConfig)
    .digest('hex')
    .slice(0, 32)
  return { metaData, networkConfig, digest }
}

/** Whose a seed ISO is and what it holds, as written into the ISO itself. */
export interface SeedMarker {
  readonly cluster: string
  readonly node: string
  readonly digest: string
}

/**
 * The mark as the ISO's publisher and application ID. There it needs no second file that could be lost,
 * stays after the domain is gone, and is read without mounting. ISO 9660 knows capitals only.
 */
export function encodeSeedMarker({ cluster, node, digest }: SeedMarker): {
  readonly publisher: string
  readonly application: string
} {
  return {
    publisher: `TALOSMITH CLUSTER=${cluster} NODE=${node}`.toUpperCase(),
    application: `TALOSMITH SEED=${digest}`.toUpperCase(),
  }
}

/** Sector 16 of an ISO is its primary volume descriptor (ECMA-119 8.4). */
export const descriptorSector = 16

/** The volume label in an ISO's primary volume descriptor; undefined when it is none. */
export function readLabel(descriptor: Uint8Array): string | undefined {
  const text = Buffer.from(descriptor).toString('latin1')
  return text.slice(1, 6) === 'CD001' ? text.slice(40, 72).trim() : undefined
}

/** Talos looks for exactly these labels. */
export const seedLabels: readonly string[] = ['cidata', 'CIDATA']

/** The mark in an ISO's primary volume descriptor; undefined when the ISO isn't one of ours. */
export function readSeedMarker(descriptor: Uint8Array): SeedMarker | undefined {
  const field = (offset: number): string =>
    Buffer.from(descriptor)
      .toString('latin1', offset, offset + 128)
      .trim()
  const [, cluster, node] = /^TALOSMITH CLUSTER=(\S+) NODE=(\S+)$/.exec(field(318)) ?? []
  const [, digest] = /^TALOSMITH SEED=(\S+)$/.exec(field(574)) ?? []
  if (cluster === undefined || node === undefined || digest === undefined) return undefined
  return {
    cluster: cluster.toLowerCase(),
    node: node.toLowerCase(),
    digest: digest.toLowerCase(),
  }
}
