/** The boots on a machine's console, and how a failed one ended. Pure. */

const kernelStart = /^\[ {0,4}0\.0{6}\] Linux version /
/** The kernel's timestamp, in seconds since its start. */
const kernelTime = /^\[ *(\d+\.\d+)\] /
/** How far timestamps of one boot may be out of order. */
const jitterS = 1

/** The console, boot by boot: a boot begins with the kernel's first line, or where the timestamps restart. */
export function bootsOf(console: readonly string[]): string[][] {
  const boots: string[][] = [[]]
  let latest = 0
  for (const line of console) {
    const time = Number(kernelTime.exec(line)?.[1] ?? latest)
    if (kernelStart.test(line) || time < latest - jitterS) boots.push([])
    boots.at(-1)?.push(line)
    latest = time
  }
  return boots.filter((boot) => boot.length > 0)
}

/**
 * How a boot failed. `panics`: the kernel stopped; nothing reverts it, since systemd-boot counts no boots.
 * `hangs`: Talos failed in its initialize sequence, in which it neither reverts nor reboots.
 * `reverts`: Talos failed later; after an upgrade it rolls back, and it reboots.
 */
export type BootFailureKind = 'panics' | 'hangs' | 'reverts'

/** A failed boot, and the line of the console that shows it. */
export interface BootFailure {
  readonly kind: BootFailureKind
  readonly line: string
}

/**
 * What the kernel and Talos print: `Kernel panic`, the controller's `<name> sequence: failed` and `error running phase
 * N in <name> sequence` (internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_controller.go, Run), and machined's
 * `fatal sequencer error in "<name>" sequence` and `recovered from: early boot failed` (internal/app/machined/main.go).
 * Only the boot's own sequences count: a failed reset or upgrade is no failed boot.
 */
const signs: readonly (readonly [BootFailureKind, RegExp])[] = [
  ['panics', /Kernel panic - not syncing/],
  ['hangs', sequenceFailed('initialize', 'recovered from: early boot failed')],
  ['reverts', sequenceFailed('(?:boot|install)')],
]

function sequenceFailed(name: string, ...more: readonly string[]): RegExp {
  return new RegExp(
    [
      `\\b${name} sequence: failed`,
      `error running phase \\d+ in ${name} sequence`,
      `fatal sequencer error in "${name}" sequence`,
      ...more,
    ].join('|'),
  )
}

/** How a boot failed, by the last of the lines that show it; undefined: nothing shows that it failed. */
export function bootFailure(boot: readonly string[]): BootFailure | undefined {
  for (const [kind, sign] of signs) {
    const line = boot.findLast((text) => sign.test(text))
    if (line !== undefined) return { kind, line }
  }
  return undefined
}

/** The last boot of a console; empty: the console shows none. */
export function lastBoot(console: readonly string[]): readonly string[] {
  return bootsOf(console).at(-1) ?? []
}

/** A boot that does not get past reading its seed ISO. */
export interface SeedStall {
  readonly line: string
  /** For how long it has stood there, in seconds. */
  readonly seconds: number
}

/** How long a boot may read its seed ISO, in seconds: it takes a few, also under emulation. */
const seedLimitS = 120
/** What Talos prints when it begins to read it (controllers/config/acquire.go, loadFromPlatform). */
const readsSeed = /\bdownloading config\b/
/** What it prints once it has gone on: the same controller again, the end of a sequence, maintenance mode. */
const wentOn =
  /AcquireController|sequence: (?:done|failed)|entering maintenance|reachable at|Kernel panic/

/**
 * Whether a boot stands at the seed ISO, by its console and how long that has printed nothing. On NoCloud two readers
 * of the ISO can wait for each other for ever (platform/nocloud and platform/internal/blockutils), and a reset ends it.
 * Talos reads a seed only where the volume STATE holds no config (acquire.go, stateDisk). Undefined: it does not stand
 * there, or not for two minutes yet.
 */
export function seedStall(boot: readonly string[], quietS: number): SeedStall | undefined {
  const at = boot.findLastIndex((text) => readsSeed.test(text))
  const line = boot[at]
  if (line === undefined || boot.some((text, index) => index !== at && readsSeed.test(text)))
    return undefined
  const later = boot.slice(at + 1)
  if (later.some((text) => wentOn.test(text))) return undefined
  const times = boot.slice(at).flatMap((text) => {
    const time = kernelTime.exec(text)?.[1]
    return time === undefined ? [] : [Number(time)]
  })
  const seconds = Math.round(quietS + Math.max(0, ...times) - (times[0] ?? 0))
  return seconds >= seedLimitS ? { line, seconds } : undefined
}
