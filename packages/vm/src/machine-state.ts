/** What libvirt keeps of a machine besides its definition and disks: logs, saved memory, snapshots, UEFI variables. */
import { posix } from 'node:path'
import { CommandFailed, consoleLog, virsh, virshBatch, type Host } from '@talosmith/core'
import type { ObservedDomain } from './observe.ts'

/** The console log and the one of QEMU. */
export async function removeLogs(host: Host, target: string): Promise<void> {
  const serial = consoleLog(target)
  const emulator = posix.join(posix.dirname(serial), `${target}.log`)
  // virtlogd rotates logs to .0, .1, .2. They stay where only root may remove them: logrotate ends them.
  await host.$`if [ -w ${posix.dirname(serial)} ]; then rm -f -- ${serial} ${serial}.[0-9]* ${emulator} ${emulator}.[0-9]*; fi`
}

/** Removes what belongs to the former disk: saved memory, and the records of snapshots and checkpoints. */
export async function removeState(host: Host, target: string): Promise<void> {
  await virsh(host, 'managedsave-remove', target)
  const kinds = ['snapshot', 'checkpoint'] as const
  const lists = await virshBatch(
    host,
    kinds.map((kind) => [`${kind}-list`, target, '--name']),
  )
  const commands = kinds.flatMap((kind, index) =>
    (lists[index]?.stdout ?? '')
      .split('\n')
      .filter((name) => name.trim() !== '')
      .map((name) => [`${kind}-delete`, target, name, '--metadata']),
  )
  const failed = (await virshBatch(host, commands)).find(({ error }) => error !== undefined)
  if (failed !== undefined)
    throw new CommandFailed(host.name, 'virsh', {
      stdout: '',
      stderr: failed.error ?? '',
      exitCode: 1,
    })
}

/**
 * An older virsh, or a loader chosen by hand, for which libvirt knows no template of UEFI variables (qemuPrepareNVRAM in
 * libvirt's src/qemu/qemu_process.c): the variables stay.
 */
const noReset = /reset-nvram|unable to find any master var store/

/**
 * Starts a machine that is off. Memory that was saved and UEFI variables are of another disk when the machine has a new
 * one; virsh has --reset-nvram since 8.1.0 (virsh(1), start).
 */
export async function startMachine(
  host: Host,
  target: string,
  domain: ObservedDomain | undefined,
): Promise<void> {
  if (domain?.diskNote !== 'none') return void (await virsh(host, 'start', target))
  const fresh = ['start', target, '--force-boot']
  if (!domain.machine.uefi) return void (await virsh(host, ...fresh))
  try {
    await virsh(host, ...fresh, '--reset-nvram')
  } catch (error) {
    if (!(error instanceof CommandFailed) || !noReset.test(error.stderr)) throw error
    await virsh(host, ...fresh)
  }
}
