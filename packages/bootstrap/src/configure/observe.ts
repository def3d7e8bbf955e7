import type { Cluster, Node } from '@talosmith/core'
import {
  probe,
  type ProbeResult,
  type Talosctl,
  parseResources,
  parseVersions,
  silenceOf,
} from '@talosmith/clients/talos'
import type { PublicSecrets } from '../generated/secrets.ts'

/** What a machine that has our config says of itself. */
export interface Running {
  readonly kind: 'running'
  /** The machine config in force. Holds secrets: never print it. */
  readonly config: string
  readonly talosVersion: string
}

/** Where a machine is on its way to being configured. */
export type NodeState = Exclude<ProbeResult, { kind: 'ours' }> | Running

/** A machine and its state. */
export interface ObservedNode {
  readonly node: Node
  readonly state: NodeState
}

const askMs = 20_000

/**
 * The state of machines, all of the cluster's when not told otherwise. One handshake each, and two
 * processes for all that have our config.
 */
export async function observeNodes(
  { controlPlanes, nodes: all }: Cluster,
  talosctl: Talosctl,
  secrets: Pick<PublicSecrets, 'talosCa'> | undefined,
  nodes: readonly Node[] = all,
): Promise<ObservedNode[]> {
  const probes = new Map(
    await Promise.all(
      nodes.map(async (node) => [node, await probe(node.address, secrets?.talosCa)] as const),
    ),
  )
  const ours = nodes.filter((node) => probes.get(node)?.kind === 'ours')
  const gates = ours.filter((node) => controlPlanes.includes(node))
  // Only control planes pass questions on to others.
  const answers =
    gates.length > 0 || ours.length === 0
      ? await readRunning(ours, talosctl, gates)
      : (await Promise.all(ours.map((node) => readRunning([node], talosctl, [node])))).flat()
  const states = new Map(answers)
  return nodes.map((node) => {
    const seen = probes.get(node)
    const state = states.get(node) ?? (seen?.kind === 'ours' ? undefined : seen)
    return { node, state: state ?? { kind: 'silent', reason: `${node.name} did not answer` } }
  })
}

async function readRunning(
  nodes: readonly Node[],
  talosctl: Talosctl,
  via: readonly Node[],
): Promise<[Node, NodeState][]> {
  if (nodes.length === 0) return []
  const ask = (args: readonly string[]) =>
    talosctl.ask(nodes.map(addressOf), args, {
      via: via.map(addressOf),
      timeoutMs: askMs,
      nothrow: true,
    })

  const [got, told] = await Promise.all([
    ask(['get', 'machineconfig', 'v1alpha1', '--output', 'json']),
    ask(['version']),
  ])
  const configs = new Map(
    parseResources<string>(got.stdout).map(({ node, spec }) => [node, spec] as const),
  )
  const versions = parseVersions(told.stdout, nodes.length === 1 ? nodes[0]?.address : undefined)
  return nodes.map((node) => {
    const config = configs.get(node.address)
    const talosVersion = versions.get(node.address)
    if (config !== undefined && talosVersion !== undefined)
      return [node, { kind: 'running', config, talosVersion }]
    const why = silenceOf(config === undefined ? got : told, askMs)
    return [
      node,
      { kind: 'silent', reason: `${node.name} has our config but does not answer: ${why}` },
    ]
  })
}

function addressOf({ address }: Node): string {
  return address
}

/** What sending a config to a running machine would do, asked of the machine itself. */
export type Preview =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'live' }
  | { readonly kind: 'reboot' }
  | { readonly kind: 'rejected'; readonly reason: string }

/** Asks a machine what a config would do to it; nothing is changed. Throws when it does not answer. */
export async function previewConfig(
  { address }: Node,
  path: string,
  talosctl: Talosctl,
): Promise<Preview> {
  const args = ['apply-config', '--mode=auto', '--dry-run', `--file=${path}`]
  const { stdout, stderr, exitCode } = await talosctl.ask([address], args, {
    nothrow: true,
    timeoutMs: askMs,
  })
  // The answer holds a diff of the configs, secrets and all: only these words of it are looked at.
  const said = stdout + stderr
  if (exitCode === 0) {
    if (/^No changes\.?$/m.test(said)) return { kind: 'nothing' }
    return { kind: /^Applied configuration with a reboot/m.test(said) ? 'reboot' : 'live' }
  }
  const reason = /code = InvalidArgument desc = ([\s\S]+)/.exec(stderr)?.[1]?.trim()
  if (reason !== undefined) return { kind: 'rejected', reason }
  throw new Error(silenceOf({ stderr, exitCode }, askMs))
}
