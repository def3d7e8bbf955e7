/** What changes are carried out with. */
import type { Cluster, Log, Node } from '@talosmith/core'
import type { ObservedGeneratedFiles } from './generated-files.ts'
import type { PublicSecrets } from '../generated/secrets.ts'
import type { Talosctl } from '@talosmith/clients/talos'

/** What changes are carried out with. */
export interface ApplyContext {
  readonly cluster: Cluster
  readonly talosctl: Talosctl
  readonly log: Log
  readonly generated?: ObservedGeneratedFiles
  readonly secrets?: PublicSecrets
  /** Configs for machines that run already, by name. */
  readonly updates?: ReadonlyMap<string, string>
}

/** What to do about a machine that does not say enough through its API. */
export function lookAt({ name }: Pick<Node, 'name'>): string {
  return `look at its console (virsh console ${name}), then run the same command again`
}

/** A minute, in milliseconds. */
export const minute = 60_000
