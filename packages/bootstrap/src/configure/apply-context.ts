/** The context of applying changes. */
import type { Cluster, Host, Log, Node } from '@talosmith/core'
import type { ObservedGeneratedFiles } from './generated-files.ts'
import type { PublicSecrets } from '../secrets/secrets.ts'
import type { Talosctl } from '@talosmith/clients/talos'

/** What applying a change needs. */
export interface ApplyContext {
  readonly cluster: Cluster
  readonly talosctl: Talosctl
  readonly log: Log
  readonly generated?: ObservedGeneratedFiles
  readonly secrets?: PublicSecrets
  /** Changed configs of running machines, by name. */
  readonly updates?: ReadonlyMap<string, string>
  /** The KVM hosts, to look at machines that do not answer. */
  readonly hosts?: (() => Promise<readonly Host[]>) | undefined
}

/** The hint for a machine whose API does not tell enough. */
export function lookAt({ name }: Pick<Node, 'name'>): string {
  return `look at its console (virsh console ${name}), then run the same command again`
}
