import type { Node, Output } from '@talosmith/core'
import { readMachineStatus, type MachineStatus } from './machine-status.ts'
import type { Talosctl } from './talosctl.ts'
import { parseResources, parseVersions, silenceOf } from './talos-output.ts'

/** What a machine runs. */
export interface RunningTalos {
  readonly talosVersion: string
  /** Undefined: an image that does not come from a factory. */
  readonly schematic: string | undefined
  /** Names without their owner: 'qemu-guest-agent'. */
  readonly extensions: readonly string[]
}

/** A machine, as far as an upgrade changes it. */
export interface NodeFacts extends RunningTalos {
  readonly platform: string | undefined
  readonly machine: MachineStatus | undefined
}

/** What a machine is to run. */
export interface Target {
  readonly version: string
  readonly schematic: string | undefined
}

/** Whether a machine runs what it should. */
export function isRight(facts: Pick<RunningTalos, 'talosVersion' | 'schematic'>, target: Target) {
  return facts.talosVersion === target.version && facts.schematic === target.schematic
}

const askMs = 20_000

/** Why a machine does not say. */
interface Silence {
  readonly reason: string
}

/** Asks machines about themselves, in four processes for all of them; or why one does not say, by name. */
export async function readNodes(
  nodes: readonly Node[],
  via: readonly Node[],
  talosctl: Talosctl,
): Promise<ReadonlyMap<string, NodeFacts | Silence>> {
  const addresses = nodes.map(({ address }) => address)
  const gates = via.map(({ address }) => address)
  const [running, platforms, machines] = await Promise.all([
    askRunning(addresses, gates, talosctl),
    getResource(addresses, gates, 'platformmetadata', talosctl),
    readMachineStatus(addresses, gates, talosctl),
  ])
  const specs = parseResources<{ platform?: string }>(platforms.stdout)
  return new Map<string, NodeFacts | Silence>(
    nodes.map(({ name, address }) => {
      const own = running(address)
      if ('reason' in own) return [name, own]
      const platform = specs.find(({ node }) => node === address)?.spec.platform
      return [name, { ...own, platform, machine: machines.byAddress.get(address) }]
    }),
  )
}

interface ExtensionSpec {
  readonly metadata?: { readonly name?: string; readonly version?: string }
}

/** Asks what machines run, in two processes; the answer is looked up by address. */
async function askRunning(
  addresses: readonly string[],
  via: readonly string[],
  talosctl: Talosctl,
): Promise<(address: string) => RunningTalos | Silence> {
  const [told, listed] = await Promise.all([
    talosctl.ask(addresses, ['version'], { via, timeoutMs: askMs, nothrow: true }),
    getResource(addresses, via, 'extensions', talosctl),
  ])
  const versions = parseVersions(told.stdout, addresses.length === 1 ? addresses[0] : undefined)
  const extensions = parseResources<ExtensionSpec>(listed.stdout)
  return (address) => {
    const talosVersion = versions.get(address)
    if (talosVersion === undefined) return { reason: silenceOf(told, askMs) }
    const own = extensions
      .filter(({ node }) => node === address)
      .map(({ spec }) => spec.metadata ?? {})
    // Without an answer it is not known whether there are none.
    if (own.length === 0 && listed.exitCode !== 0) return { reason: silenceOf(listed, askMs) }
    return {
      talosVersion,
      schematic: own.find((one) => one.name === 'schematic')?.version,
      extensions: own.flatMap((one) => (one.name === 'schematic' ? [] : (one.name ?? []))),
    }
  }
}

function getResource(
  addresses: readonly string[],
  via: readonly string[],
  type: string,
  talosctl: Talosctl,
): Promise<Output> {
  const options = { via, timeoutMs: askMs, nothrow: true }
  return talosctl.ask(addresses, ['get', type, '--output', 'json'], options)
}

/** Asks one machine about itself, through itself. Throws with the reason when it does not say. */
export async function readNode(node: Node, talosctl: Talosctl): Promise<NodeFacts> {
  return known((await readNodes([node], [node], talosctl)).get(node.name))
}

/** Asks one machine what it runs, through itself. Throws with the reason when it does not say. */
export async function readRunning({ address }: Node, talosctl: Talosctl): Promise<RunningTalos> {
  return known((await askRunning([address], [address], talosctl))(address))
}

function known<T extends object>(answer: T | Silence | undefined): T {
  if (answer === undefined || 'reason' in answer)
    throw new Error(answer?.reason ?? 'it was not asked')
  return answer
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
