/** Causes that only a machine's console shows: it runs, and Talos does not come up in it. */
import { codes, type Cluster } from '@talosmith/core'
import type { ObservedHost } from '@talosmith/vm'
import { talosctl, type, type Diagnosis } from '../diagnosis.ts'
import { onHost, powerCycle } from '../on-host.ts'
import { isReady, type View } from '../view.ts'

const kernelStart = /^\[ {0,4}0\.0{6}\] Linux version /
/** The kernel's clock, in seconds since it began. */
const kernelTime = /^\[ *(\d+\.\d+)\] /
/** So much lines of one boot may be out of order. */
const jitterS = 1
/** How Talos, or its kernel, says that it gives a boot up. */
const bootEnd = /boot sequence failed|fatal sequencer error|Kernel panic - not syncing/
const bootDone = /boot sequence: done/

/** What a console says: each rule is a line to look for in the last boot. */
const signs: readonly {
  readonly code: string
  readonly line: RegExp
  readonly cause: string
  readonly remedy: (cluster: Cluster, host: ObservedHost, name: string) => string[]
}[] = [
  {
    code: codes.cpuLevelTooLow,
    line: /microarchitecture level 2/,
    cause: 'its processor model lacks what Talos needs (x86-64-v2)',
    remedy: (cluster, host, name) => [
      '# set CPU_MODEL=host-passthrough in the env file, or a model with x86-64-v2, then',
      type(cluster, 'vm:create'),
      ...powerCycle(host, name),
    ],
  },
  {
    code: 'NO_BOOT_DISK',
    line: /No bootable (?:device|option)|BdsDxe: No bootable|failed to load Boot\d+.*Not Found/,
    cause: 'its firmware finds nothing to boot on the disk',
    remedy: (cluster) => [
      '# the disk is not a copy of the image; make the machine anew (its data is lost)',
      `CONFIRM=${cluster.name} ${type(cluster, 'cluster:destroy')}`,
      type(cluster, 'cluster:up'),
    ],
  },
]

export function judgeBoot(cluster: Cluster, view: View): Diagnosis | undefined {
  const { node, host, evidence } = view
  if (host === undefined || evidence?.state !== 'running' || isReady(view)) return undefined
  const boots = bootsOf(evidence.console)
  const last = boots.at(-1) ?? []
  for (const { code, line, cause, remedy } of signs) {
    const found = last.find((text) => line.test(text))
    if (found !== undefined)
      return {
        code,
        where: node.name,
        cause: `${node.name} does not come up: ${cause}`,
        evidence: [`console: ${found}`],
        remedy: remedy(cluster, host, node.name),
      }
  }
  const ended = givenUp(boots)
  if (ended.length >= 2)
    return {
      code: 'BOOT_LOOP',
      where: node.name,
      cause: `${node.name} gives up its boot and begins anew: the last ${ended.length} times`,
      evidence: ended.slice(-3).map((text) => `console: ${text}`),
      remedy: [
        '# what is named does not come up; if it came with a new version, go back to the old one:',
        talosctl(cluster, node.address, 'rollback'),
        '# or set TALOS_VERSION, TALOS_EXTENSIONS, TALOS_KERNEL_ARGS to what boots, then',
        type(cluster, 'cluster:upgrade'),
      ],
    }
  const panic = last.find((text) => /Kernel panic - not syncing/.test(text))
  if (panic === undefined) return undefined
  return {
    code: 'KERNEL_PANIC',
    where: node.name,
    cause: `the kernel of ${node.name} gave up`,
    evidence: last.slice(last.indexOf(panic), last.indexOf(panic) + 3),
    remedy: [
      ...onHost(host, `virsh reset ${node.name}`),
      '# if it comes again: is its memory enough, its disk whole?',
    ],
  }
}

/** How the last boots in a row ended, up to now, or to the one that goes on; a good one ends the row. */
function givenUp(boots: readonly string[][]): string[] {
  const ends = boots.map((boot) => boot.findLast((text) => bootEnd.test(text)))
  const goesOn = ends.at(-1) === undefined && !boots.at(-1)?.some((text) => bootDone.test(text))
  const over = goesOn ? ends.slice(0, -1) : ends
  return over.slice(over.lastIndexOf(undefined) + 1).flatMap((end) => end ?? [])
}

/** The console boot by boot: one begins with the kernel's first line, or, of a quiet one, where its clock goes back. */
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
