import type { Node } from '@talosmith/core'
import { readMachineStatus, type MachineStatus } from '../machine-status.ts'
import type { Talosctl } from '../talosctl.ts'
import { parseResources, parseVersions, silenceOf } from '../talos-output.ts'

/** What a machine runs, as far as an upgrade changes it. */
export interface NodeFacts {
  readonly talosVersion: string
  /** Undefined: an image that does not come from a factory. */
  readonly schematic: string | undefined
  /** Names without their owner: 'qemu-guest-agent'. */
  readonly extensions: readonly string[]
  readonly platform: string | undefined
  readonly machine: MachineStatus | undefined
}

/** What a machine is to run. */
export interface Target {
  readonly version: string
  readonly schematic: string | undefined
}

/** Whether a machine runs what it should. */
export function isRight(facts: Pick<NodeFacts, 'talosVersion' | 'schematic'>, target: Target) {
  return facts.talosVersion === target.version && facts.schematic === target.schematic
}

const askMs = 20_000

/** Asks machines what they run, in four processes for all of them; or why one does not say, by name. */
export async function readNodes(
  nodes: readonly Node[],
  via: readonly Node[],
  talosctl: Talosctl,
): Promise<ReadonlyMap<string, NodeFacts | { readonly reason: string }>> {
  const addresses = nodes.map(({ address }) => address)
  const options = { via: via.map(({ address }) => address), timeoutMs: askMs, nothrow: true }
  const get = (type: string) =>
    talosctl.ask(addresses, ['get', type, '--output', 'json'], options).then(({ stdout }) => stdout)
  const [told, extensions, platforms, machines] = await Promise.all([
    talosctl.ask(addresses, ['version'], options),
    get('extensions').then(parseResources<ExtensionSpec>),
    get('platformmetadata').then(parseResources<{ platform?: string }>),
    readMachineStatus(addresses, options.via, talosctl),
  ])
  const versions = parseVersions(told.stdout, nodes.length === 1 ? addresses[0] : undefined)
  return new Map<string, NodeFacts | { readonly reason: string }>(
    nodes.map(({ name, address }) => {
      const talosVersion = versions.get(address)
      if (talosVersion === undefined) return [name, { reason: silenceOf(told, askMs) }]
      const own = extensions
        .filter(({ node }) => node === address)
        .map(({ spec }) => spec.metadata ?? {})
      const facts: NodeFacts = {
        talosVersion,
        schematic: own.find((one) => one.name === 'schematic')?.version,
        extensions: own.flatMap((one) => (one.name === 'schematic' ? [] : (one.name ?? []))),
        platform: platforms.find(({ node }) => node === address)?.spec.platform,
        machine: machines.byAddress.get(address),
      }
      return [name, facts]
    }),
  )
}

interface ExtensionSpec {
  readonly metadata?: { readonly name?: string; readonly version?: string }
}

/** Asks one machine, through itself. Throws with the reason when it does not say. */
export async function readNode(node: Node, talosctl: Talosctl): Promise<NodeFacts> {
  const facts = (await readNodes([node], [node], talosctl)).get(node.name)
  if (facts === undefined || 'reason' in facts) throw new Error(facts?.reason ?? 'it was not asked')
  return facts
}

/** Which boot of a machine this is: another one after every restart. Throws while it does not answer. */
export async function readBootId(
  { address }: Node,
  talosctl: Talosctl,
  timeoutMs = askMs,
): Promise<string> {
  const file = '/proc/sys/kernel/random/boot_id'
  const { stdout } = await talosctl.ask([address], ['read', file], { timeoutMs })
  const id = stdout.trim()
  if (id === '') throw new Error('it does not say which boot this is')
  return id
}
