/** Compares an existing machine with the desired one. */
import { isDeepStrictEqual } from 'node:util'
import type { Machine } from './machine.ts'

/** The compared properties of a machine, each with its human-readable form. */
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

/** What differs, human-readable. */
export interface Drift {
  readonly from: string
  readonly to: string
}

/**
 * How a machine differs from the desired one; undefined when it does not. Files are not compared: a machine
 * keeps its disk when STORAGE_POOL changes, or it would start with an empty one.
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

/** Memory and its maximum are equal: a difference of both is reported once. */
function isOneMemory({ memoryMib, maxMemoryMib }: Machine): boolean {
  return memoryMib === maxMemoryMib
}

/**
 * The desired machine, with the guest-agent channel that the existing one has: while Talos has the agent's
 * extension installed, it does not finish booting without the channel. `planDropChannels` removes it.
 */
export function keepChannel(has: Machine | undefined, wanted: Machine): Machine {
  return { ...wanted, guestAgent: wanted.guestAgent || has?.guestAgent === true }
}
