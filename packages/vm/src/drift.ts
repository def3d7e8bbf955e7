import type { Machine } from './machine.ts'

/** What of an existing machine is compared with the settings, and how a person calls it. */
const compared = {
  cpu: (value) => `${value} CPU${value === 1 ? '' : 's'}`,
  memoryMib: (value) => `${value} MiB of memory`,
  maxMemoryMib: (value) => `a maximum of ${value} MiB of memory`,
  cpuModel: (value) => `CPU ${value}`,
  type: (value) => `domain type ${value}`,
  network: (value) => `${value || 'no network'}`,
  mac: (value) => `MAC address ${value || 'none'}`,
  guestAgent: (value) => `${value === true ? 'a' : 'no'} guest-agent channel`,
} as const satisfies Partial<Record<keyof Machine, (value: Machine[keyof Machine]) => string>>

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
    (key) => has[key] !== wanted[key] && !(key === 'maxMemoryMib' && isOneMemory(has)),
  )
  if (keys.length === 0) return undefined
  const show = (machine: Machine): string =>
    keys.map((key) => compared[key](machine[key])).join(', ')
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
