/** The status of a cluster as data. */
import type { Role } from '@talosmith/core'

/** The state of a cluster, as `cluster:status --json` prints it. docs/status-json.md describes every field. */
export interface ClusterStatus {
  readonly cluster: string
  /** ISO 8601. */
  readonly at: string
  readonly talosVersion: string
  readonly kubernetesVersion: string
  readonly endpoint: {
    readonly url: string
    readonly answers: boolean
    readonly reason: string | null
  }
  readonly vip: {
    readonly address: string
    readonly holder: string | null
    readonly reason: string | null
  } | null
  readonly schematic: { readonly id: string; readonly extensions: readonly string[] }
  readonly image: { readonly url: string; readonly installer: string }
  readonly access: readonly AccessStatus[]
  readonly nodes: readonly NodeStatus[]
  /** Machines of this cluster that are no longer in the settings. */
  readonly leftOver: readonly {
    readonly name: string
    readonly host: string
    readonly state: string
  }[]
  /** Sources that did not answer at all, and why. */
  readonly unknown: readonly { readonly source: Source; readonly reason: string }[]
}

/** Where the facts come from. */
export type Source = 'hosts' | 'talos' | 'etcd' | 'kubernetes' | 'access'

/** An access file. */
export interface AccessStatus {
  readonly name: 'talosconfig' | 'kubeconfig'
  readonly path: string
  readonly expires: string | null
  readonly daysLeft: number | null
  readonly fault: string | null
}

/** One machine; null means not known, and `reasons` tells why. */
export interface NodeStatus {
  readonly name: string
  readonly role: Role
  readonly address: string
  readonly vm: {
    readonly host: string
    readonly state: string
    readonly cpu: number
    readonly memoryMib: number
    readonly diskGib: number
    readonly writtenGib: number
  } | null
  readonly talos: {
    readonly stage: string
    readonly ready: boolean | null
    readonly version: string | null
    readonly schematic: string | null
  } | null
  readonly kubernetes: { readonly version: string | null; readonly ready: boolean } | null
  /** Null for workers too. */
  readonly etcd: {
    readonly member: boolean
    readonly learner: boolean
    readonly leader: boolean
  } | null
  /** The file system of /var, as reported by Talos. */
  readonly disk: { readonly sizeGb: number; readonly usedGb: number } | null
  readonly reasons: readonly string[]
}
