import { isDeepStrictEqual } from 'node:util'
import type { Machine } from './machine.ts'

/** What of an existing machine is compared with the settings, and how a person calls it. */
const compared = {
  cpu: ({ cpu }) => `${cpu} CPU${cpu === 1 ? '' : 's'}`,
  memoryMib: ({ memoryMib }) => `${memoryMib} MiB of memory`,
  maxMemoryMib: ({ maxMemoryMib }) => `a maximum of ${maxMemoryMib} MiB of memory`,
  cpuModel: ({ cpuModel }) => `CPU ${cpuModel}`,
  type: ({ type }) => `domain type ${type}`,
  network: ({ network }) =>
    network === undefined ? 'no network' : `${network.type} ${network.name}`.trimEnd(),
  mac: ({ mac }) => `MAC address ${mac || 'none'}`,
  guestAgent: ({ guestAgent }) => `${guestAgent ? 'a' : 'no'} guest-agent channel`,
} as const satisfies Partial<Record<keyof Machine, (machine: Machine) => string>>

/** What differs, as a person reads it. */
export interface Drift {
  readonly from: string
  readonly to: string
}

/**
 * How a machine differs from what it should be; undefined when it doesn't. Files are not compared: a
 * machine keeps its own when the pool changes, or it would come back with an empty disk.
 */
export function driftOf(has: Machine, wanted: Machine): Drift | undefined {
  const keys = (Object.keys(compared) as (keyof typeof compared)[]).filter(
    (key) =>
      !isDeepStrictEqual(has[key], wanted[key]) && !(key === 'maxMemoryMib' && isOneMemory(has)),
  )
  if (keys.length === 0) return undefined
  const show = (machine: Machine): string => keys.map((key) => compared[key](machine)).join(', ')
  return { from: show(has), to: show(wanted) }
}

/** Memory and its maximum differ from the settings together: said once. */
function isOneMemory({ memoryMib, maxMemoryMib }: Machine): boolean {
  return memoryMib === maxMemoryMib
}

/**
 * What is wanted of a machine whose channel for the guest agent stays if it has one: while Talos has the
 * agent's extension, a boot without the channel never ends. Who knows what Talos has takes it away.
 */
export function keepChannel(has: Machine | undefined, wanted: Machine): Machine {
  return { ...wanted, guestAgent: wanted.guestAgent || has?.guestAgent === true }
}
