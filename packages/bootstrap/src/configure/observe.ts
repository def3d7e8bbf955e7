/** Whether machines are configured, and what a new config would do to them. */
import { readFile } from 'node:fs/promises'
import {
  machineConfigQuestion,
  observeTalos,
  longTimeouts,
  silenceOf,
  versionQuestion,
  type AnswersTo,
  type ProbeResult,
  type Talosctl,
} from '@talosmith/clients/talos'
import type { Cluster, Node } from '@talosmith/core'
import { withoutValues } from '../config/config-reason.ts'
import type { PublicSecrets } from '../secrets/secrets.ts'

/** A configured machine of this cluster. */
export interface ConfiguredMachine {
  readonly kind: 'running'
  /** The machine config in force. Holds secrets: never print it. */
  readonly config: string
  readonly talosVersion: string
}

/** Whether a machine is configured. */
export type NodeState = Exclude<ProbeResult, { kind: 'ours' }> | ConfiguredMachine

/** A machine and its state. */
export interface ObservedNode {
  readonly node: Node
  readonly state: NodeState
}

const questions = { config: machineConfigQuestion, version: versionQuestion }

/**
 * The state of machines, by default all of the cluster. One handshake per machine, and two processes
 * for all that are configured.
 */
export async function observeNodeStates(
  cluster: Cluster,
  talosctl: Talosctl,
  secrets: Pick<PublicSecrets, 'talosCa'> | undefined,
  nodes: readonly Node[] = cluster.nodes,
): Promise<ObservedNode[]> {
  const talosCa = secrets?.talosCa
  const { probes, answers } = await observeTalos(cluster, { talosctl, talosCa, nodes, questions })
  return nodes.map((node) => {
    const answer = answers.get(node.name)
    return { node, state: stateOf(node, probes.get(node.name), answer) }
  })
}

function stateOf(
  { name }: Node,
  result: ProbeResult | undefined,
  answer: AnswersTo<typeof questions> | undefined,
): NodeState {
  if (result !== undefined && result.kind !== 'ours') return result
  if (answer === undefined) return { kind: 'silent', reason: `${name} did not answer` }
  const { config, version } = answer
  if (config.ok && version.ok)
    return { kind: 'running', config: config.value, talosVersion: version.value }
  const why = !config.ok ? config.reason : version.ok ? '' : version.reason
  return { kind: 'silent', reason: `${name} is configured, but does not answer: ${why}` }
}

/** What applying a config to a running machine would do, according to the machine. */
export type Preview =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'live' }
  | { readonly kind: 'reboot' }
  | { readonly kind: 'rejected'; readonly reason: string }

/** Applies a config as a dry run. Throws when the machine does not answer. */
export async function previewConfig(
  { address }: Node,
  path: string,
  talosctl: Talosctl,
): Promise<Preview> {
  const args = ['apply-config', '--mode=auto', '--dry-run', `--file=${path}`]
  const { stdout, stderr, exitCode } = await talosctl.ask([address], args, {
    nothrow: true,
    timeoutMs: longTimeouts.askMs,
  })
  // The output holds a diff of the configs with their secrets: only these phrases are read from it.
  const output = stdout + stderr
  if (exitCode === 0) {
    if (/^No changes\.?$/m.test(output)) return { kind: 'nothing' }
    return { kind: /^Applied configuration with a reboot/m.test(output) ? 'reboot' : 'live' }
  }
  const reason = /code = InvalidArgument desc = ([\s\S]+)/.exec(stderr)?.[1]?.trim()
  if (reason !== undefined) {
    const config = await readFile(path, 'utf8').catch(() => '')
    return { kind: 'rejected', reason: withoutValues(reason, [config]) }
  }
  throw new Error(silenceOf({ stderr, exitCode }, longTimeouts.askMs))
}
