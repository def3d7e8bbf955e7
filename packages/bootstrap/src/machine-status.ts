import type { Node } from '@talosmith/core'
import type { Talosctl } from './talosctl.ts'
import { parseResources, silenceOf } from './talos-output.ts'

const askMs = 20_000

/** Where a machine is, as Talos says (MachineStatuses.runtime.talos.dev). */
export interface MachineStatus {
  readonly stage: string
  readonly status: {
    readonly ready: boolean
    readonly unmetConditions: readonly { readonly name: string; readonly reason: string }[] | null
  }
}

/** The machine status by address, and why the others did not say theirs. */
export interface MachineStatuses {
  readonly byAddress: ReadonlyMap<string, MachineStatus>
  readonly silence: string
}

/** Reads the machine status of every address that answers, in one process. */
export async function readMachineStatus(
  addresses: readonly string[],
  via: readonly string[],
  talosctl: Talosctl,
  timeoutMs = askMs,
): Promise<MachineStatuses> {
  const args = ['get', 'machinestatus', '--output', 'json']
  const options = { via, timeoutMs, nothrow: true }
  const { stdout, stderr, exitCode } = await talosctl.ask(addresses, args, options)
  return {
    byAddress: new Map(parseResources<MachineStatus>(stdout).map(({ node, spec }) => [node, spec])),
    silence: silenceOf({ stderr, exitCode }, timeoutMs),
  }
}

/** Why a machine is not running and ready; undefined: it is. */
export function machineFault(machine: MachineStatus): string | undefined {
  const { stage, status } = machine
  if (stage === 'running' && status.ready) return undefined
  const unmet = (status.unmetConditions ?? []).map(({ name, reason }) => `${name}: ${reason}`)
  const why = unmet.length === 0 ? '' : `: ${unmet.join('; ')}`
  return stage === 'running' ? `not ready${why}` : `${stage}${why}`
}

/** Whether a machine runs and is ready; one that does not answer is not. */
export async function isReady({ address }: Node, talosctl: Talosctl): Promise<boolean> {
  const { byAddress } = await readMachineStatus([address], [address], talosctl)
  const machine = byAddress.get(address)
  return machine !== undefined && machineFault(machine) === undefined
}
