/** Waits until a machine reports what it runs. */
import { commandFor, waitFor, type Node } from '@talosmith/core'
import {
  readNode,
  type readRunning,
  type RunningTalos,
  type Talosctl,
} from '@talosmith/clients/talos'
import { rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'

/** Stages of a machine that is shutting down: what it reports is about to change. */
const shutdownStages = ['rebooting', 'shutting down', 'upgrading', 'resetting']

/** What a machine runs that a killed run may have restarted. Throws while it is shutting down. */
export async function readUnlessShuttingDown(
  node: Node,
  talosctl: Talosctl,
): Promise<RunningTalos> {
  const facts = await readNode(node, talosctl)
  const stage = facts.machine?.stage ?? ''
  if (shutdownStages.includes(stage)) throw new Error(`it is ${stage}`)
  return facts
}

/** Waits until `read` reports what a machine runs. Throws NODE_SILENT. */
export async function waitForRunning(
  { cluster, talosctl, log }: UpgradeContext,
  node: Node,
  read: typeof readRunning,
): Promise<RunningTalos> {
  return waitFor(`${node.name} to report what it runs`, () => read(node, talosctl), {
    log,
    withinMs: rebootTimeoutMs(cluster),
    code: 'NODE_SILENT',
    hint: `check that it runs (${commandFor(cluster, 'vm:status')}) and check its console (virsh console ${node.name})`,
  })
}
