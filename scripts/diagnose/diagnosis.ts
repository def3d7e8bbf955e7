import { commandFor, type Cluster, type Node } from '@talosmith/core'

/** What is wrong, what shows it, and what mends it. */
export interface Diagnosis {
  /** Permanent; docs/troubleshooting/diagnosis.md has a heading for each. */
  readonly code: string
  /** The machine, or the host; undefined: it concerns the whole cluster. */
  readonly where: string | undefined
  readonly cause: string
  /** What was seen, line by line, in the words of whoever said it. */
  readonly evidence: readonly string[]
  /** What to type, one after the other; a line that is no command begins with `#`. */
  readonly remedy: readonly string[]
}

/** A target of Nx as the user types it for this cluster. */
export const type = commandFor

/** A talosctl call for one machine, as the user types it. */
export function talosctl(
  { generated }: Pick<Cluster, 'generated'>,
  address: string,
  words: string,
): string {
  return `talosctl --talosconfig ${generated}/talosconfig -e ${address} -n ${address} ${words}`
}

/** A kubectl call, as the user types it. */
export function kubectl({ generated }: Pick<Cluster, 'generated'>, words: string): string {
  return `kubectl --kubeconfig ${generated}/kubeconfig ${words}`
}

/** The setting of a machine's role: WORKER_DISK_GIB. */
export function settingOf({ role }: Pick<Node, 'role'>, what: string): string {
  return `${role === 'worker' ? 'WORKER' : 'CONTROL_PLANE'}_${what}`
}
