/** What the doctor knows about one host, and how it reports a check of it. */
import type { Problem } from '@talosmith/core'
import type { HostDetails, HostEvidence, HostWarning, ObservedHost, Trial } from '@talosmith/vm'
import type { Check } from './check.ts'
import type { Resolved } from './endpoint.ts'
import type { Reach } from './judge-reach.ts'

/** Everything that was observed about one host. */
export interface CheckedHost {
  readonly observed: ObservedHost
  readonly details: HostDetails
  /** The attempt to create a test machine; undefined: not tried. */
  readonly trial: Trial | undefined
  readonly evidence: HostEvidence | undefined
  /** How this machine reaches its machines; undefined: it gets none. */
  readonly reach?: Reach | undefined
  /** What would stop vm:create on it. */
  readonly problems: readonly Problem[]
  readonly warnings: readonly HostWarning[]
  /** What the host can reach; undefined: not tried. */
  readonly outside:
    | {
        /** The factory's answer, or why there is none; undefined: the host does not download from it. */
        readonly factory: { readonly status: number } | { readonly reason: string } | undefined
        /** Whether the NFS server answers; undefined: none is configured. */
        readonly nfs: boolean | undefined
        /** What CLUSTER_ENDPOINT resolves to; undefined: it is an address. */
        readonly endpoint?: Resolved | undefined
      }
    | undefined
}

/** Makes a check of the host; without a verdict it is `ok`. */
export type Line = (
  check: string,
  detail: string,
  verdict?: Check['verdict'],
  remedy?: string,
  code?: string,
) => Check
