import type { Node } from '@talosmith/core'
import type { Talosctl } from './talosctl.ts'
import { parseResources } from './talos-output.ts'

/** Where a machine is, as Talos says (MachineStatuses.runtime.talos.dev). */
export interface MachineStatus {
  readonly stage: string
  readonly status: {
    readonly ready: boolean
    readonly unmetConditions: readonly { readonly name: string; readonly reason: string }[] | null
  }
}

/** Reads the machine status of every address that answers, in one process. */
export async function readMachineStatus(
  addresses: readonly string[],
  via: readonly string[],
  talosctl: Talosctl,
): Promise<ReadonlyMap<string, MachineStatus>> {
  const { stdout } = await talosctl.ask(addresses, ['get', 'machinestatus', '--output', 'json'], {
    via,
    timeoutMs: 10_000,
    nothrow: true,
  })
  return new Map(parseResources<MachineStatus>(stdout).map(({ node, spec }) => [node, spec]))
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
  const machine = (await readMachineStatus([address], [address], talosctl)).get(address)
  return machine !== undefined && machineFault(machine) === undefined
}
