/** A diagnosis, and the commands that remedies are made of. */
import type { Cluster, Node } from '@talosmith/core'

/** What is wrong, the evidence, and how to fix it. */
export interface Diagnosis {
  /** Permanent; docs/troubleshooting/diagnosis.md has a heading for each. */
  readonly code: string
  /** The machine or the host; undefined: the whole cluster. */
  readonly where: string | undefined
  readonly cause: string
  /** What was observed, line by line: the output of commands as it is. */
  readonly evidence: readonly string[]
  /** The commands to run, in order; a line that is not a command begins with `#`. */
  readonly remedy: readonly string[]
}

/** A talosctl command for one machine. */
export function talosctl(
  { generated }: Pick<Cluster, 'generated'>,
  address: string,
  command: string,
): string {
  return `talosctl --talosconfig ${generated}/talosconfig -e ${address} -n ${address} ${command}`
}

/** A kubectl command. */
export function kubectl({ generated }: Pick<Cluster, 'generated'>, command: string): string {
  return `kubectl --kubeconfig ${generated}/kubeconfig ${command}`
}

/** The setting for a machine's role: WORKER_DISK_GIB. */
export function settingOf({ role }: Pick<Node, 'role'>, what: string): string {
  return `${role === 'worker' ? 'WORKER' : 'CONTROL_PLANE'}_${what}`
}
