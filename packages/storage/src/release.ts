/** The Helm release, read from the Secrets in which helm keeps it. */
import { gunzipSync } from 'node:zlib'
import { isOurs } from './names.ts'
import type { SecretObject } from '@talosmith/clients/kubernetes'

/** A Helm release, as its newest record in the cluster tells. */
export interface Release {
  readonly revision: number
  /** deployed, failed, pending-install, pending-upgrade, uninstalling ... */
  readonly status: string
  /** The chart's version, without `v`. */
  readonly chartVersion: string
  readonly values: Readonly<Record<string, unknown>>
  readonly ours: boolean
  /** The record's name: a Secret in the release's namespace. */
  readonly record: string
  /** When this revision was begun. */
  readonly begun: Date
}

interface ReleaseRecord {
  readonly version: number
  readonly info: { readonly status: string; readonly last_deployed?: string }
  readonly chart: { readonly metadata: { readonly version: string } }
  readonly config?: Record<string, unknown> | null
}

/** Reads the newest record: base64 by Kubernetes, base64 and gzip by Helm, then JSON. */
export function readRelease(secrets: readonly SecretObject[]): Release | undefined {
  const [newest] = secrets
    .map(({ metadata, data }) => ({ metadata, record: decode(data?.['release'] ?? '') }))
    .sort((a, b) => b.record.version - a.record.version)
  if (newest === undefined) return undefined
  const { metadata, record } = newest
  return {
    revision: record.version,
    status: record.info.status,
    chartVersion: record.chart.metadata.version.replace(/^v/, ''),
    values: record.config ?? {},
    ours: isOurs(metadata.labels),
    record: metadata.name,
    begun: new Date(record.info.last_deployed ?? metadata.creationTimestamp ?? 0),
  }
}

function decode(text: string): ReleaseRecord {
  const packed = Buffer.from(Buffer.from(text, 'base64').toString(), 'base64')
  return JSON.parse(gunzipSync(packed).toString()) as ReleaseRecord
}
