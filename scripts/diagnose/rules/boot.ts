/** Problems that only the console shows: the machine runs, but Talos does not start. */
import { bootFailure, bootsOf, codes, commandFor, seedStall, type Cluster } from '@talosmith/core'
import type { ObservedHost } from '@talosmith/vm'
import { talosctl, type Diagnosis } from '../diagnosis.ts'
import { onHost, powerCycle } from '../on-host.ts'
import { isReady, type View } from '../view.ts'

const bootDone = /boot sequence: done/

/** Lines to look for in the last boot on the console. */
const signs: readonly {
  readonly code: string
  readonly line: RegExp
  readonly cause: string
  readonly remedy: (cluster: Cluster, host: ObservedHost, name: string) => string[]
}[] = [
  {
    code: codes.cpuLevelTooLow,
    line: /microarchitecture level 2/,
    cause: 'its CPU model lacks x86-64-v2, which Talos requires',
    remedy: (cluster, host, name) => [
      '# set CPU_MODEL=host-passthrough in the env file, or a model that has x86-64-v2, then',
      commandFor(cluster, 'vm:create'),
      ...powerCycle(host, name),
    ],
  },
  {
    code: 'NO_BOOT_DISK',
    line: /No bootable (?:device|option)|BdsDxe: No bootable|failed to load Boot\d+.*Not Found/,
    cause: 'its firmware finds no bootable system on the disk',
    remedy: (cluster) => [
      '# the disk is not a copy of the Talos image: recreate the cluster (all its data is lost)',
      `CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:destroy')}`,
      commandFor(cluster, 'cluster:up'),
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
        cause: `${node.name} does not boot: ${cause}`,
        evidence: [`console: ${found}`],
        remedy: remedy(cluster, host, node.name),
      }
  }
  const failures = failedBoots(boots)
  if (failures.length >= 2)
    return {
      code: 'BOOT_LOOP',
      where: node.name,
      cause: `${node.name} is in a boot loop: its last ${failures.length} boots failed`,
      evidence: failures.slice(-3).map((text) => `console: ${text}`),
      remedy: [
        '# the console lines above show what failed; if this began with an upgrade, roll back:',
        talosctl(cluster, node.address, 'rollback'),
        '# or set TALOS_VERSION, TALOS_EXTENSIONS and TALOS_KERNEL_ARGS to values that boot, then',
        commandFor(cluster, 'cluster:upgrade'),
      ],
    }
  const stall =
    view.probe?.kind === 'silent' ? seedStall(last, evidence.consoleQuietS ?? 0) : undefined
  if (stall !== undefined)
    return {
      code: 'SEED_STALLED',
      where: node.name,
      cause: `${node.name} has stood at its seed ISO for ${stall.seconds} s: two readers of Talos wait for each other`,
      evidence: [`console: ${stall.line}`],
      remedy: [
        ...onHost(host, `virsh reset ${node.name}`),
        '# Talos reads the seed only where no config is saved: a new machine then answers in maintenance mode, and',
        commandFor(cluster, 'bootstrap:configure'),
      ],
    }
  const failure = bootFailure(last)
  if (failure === undefined || failure.kind === 'reverts') return undefined
  const previous = [
    '# if this began with an upgrade: Talos does not roll back by itself here; boot the previous version with',
    `${commandFor(cluster, 'vm:boot-previous')} --machine ${node.name}`,
  ]
  if (failure.kind === 'hangs')
    return {
      code: 'BOOT_HANGS',
      where: node.name,
      cause: `the boot of ${node.name} failed in the initialize sequence; Talos stays there and does not reboot`,
      evidence: [`console: ${failure.line}`],
      remedy: [...previous, '# otherwise', ...powerCycle(host, node.name)],
    }
  return {
    code: 'KERNEL_PANIC',
    where: node.name,
    cause: `the kernel of ${node.name} panicked`,
    evidence: last.slice(last.indexOf(failure.line), last.indexOf(failure.line) + 3),
    remedy: [
      ...previous,
      '# otherwise',
      ...onHost(host, `virsh reset ${node.name}`),
      '# if it panics again, check its memory size and its disk',
    ],
  }
}

/** The errors of the last consecutive failed boots, without a boot that is still in progress. */
function failedBoots(boots: readonly string[][]): string[] {
  const ends = boots.map((boot) => bootFailure(boot)?.line)
  const isBooting = ends.at(-1) === undefined && !boots.at(-1)?.some((text) => bootDone.test(text))
  const finished = isBooting ? ends.slice(0, -1) : ends
  return finished.slice(finished.lastIndexOf(undefined) + 1).flatMap((end) => end ?? [])
}
