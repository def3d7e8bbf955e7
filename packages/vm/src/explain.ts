import { Problem, type CommandFailed } from '@talosmith/core'
import type { VmChange } from './plan.ts'

interface Words {
  readonly code: string
  readonly what: (target: string) => string
  readonly now: (target: string) => string
}

const again = 'mend the reason, then run the same command again: it carries on here'

const define: Words = {
  code: 'VM_DEFINE_FAILED',
  what: (target) => `could not define ${target}`,
  now: (target) => `${target} is as it was before; no file of it was made`,
}
const change: Words = { ...define, now: (target) => `${target} is as it was before` }
const disk: Words = {
  code: 'VM_DISK_FAILED',
  what: (target) => `could not make the disk of ${target} what it should be`,
  now: (target) => `${target} is defined; its disk is as it was before`,
}
const power: Words = {
  code: 'VM_START_FAILED',
  what: (target) => `could not start ${target}`,
  now: (target) => `${target} is defined and has its disk and seed ISO; it does not run`,
}
const stop: Words = {
  code: 'VM_STOP_FAILED',
  what: (target) => `could not stop ${target}`,
  now: (target) => `${target} still runs; nothing of it was removed`,
}
const remove: Words = {
  code: 'VM_REMOVE_FAILED',
  what: (target) => `could not remove all of ${target}`,
  now: (target) => `what is left of ${target} is found again by the next run`,
}

const words: Record<VmChange['kind'], Words> = {
  'define-domain': define,
  'update-domain': change,
  'drop-channel': change,
  'create-disk': disk,
  'grow-disk': disk,
  'create-seed': {
    code: 'VM_SEED_FAILED',
    what: (target) => `could not make the seed ISO of ${target}`,
    now: (target) => `${target} is defined; its seed ISO is as it was before`,
  },
  'set-autostart': change,
  'start-domain': power,
  'stop-domain': stop,
  'cut-power': stop,
  'remove-disk': remove,
  'undefine-domain': remove,
  'remove-seed': remove,
  'remove-leftover': remove,
}

/** What to do about the refusals that people meet, by libvirt's and QEMU's own words. */
const remedies: readonly (readonly [RegExp, string])[] = [
  [
    /Permission denied/,
    'QEMU runs as a user of its own: every folder above the disk must let it pass (namei -l <disk> shows them; chmod o+x). On Debian and Ubuntu a pool outside /var/lib/libvirt also needs a line in /etc/apparmor.d/local/abstractions/libvirt-qemu',
  ],
  [
    /Cannot allocate memory|cannot set up guest memory/,
    'the host has not enough free memory: stop something, or lower CONTROL_PLANE_MEMORY_MIB or WORKER_MEMORY_MIB',
  ],
  [
    /No space left/,
    'make room where the pool is, then run the same command again: it carries on here',
  ],
  [
    /network '[^']*' is not active/,
    'virsh net-start <network> && virsh net-autostart <network>, then run the same command again',
  ],
  [
    /O_DIRECT|does not support direct/,
    'the pool lies on a file system without O_DIRECT; use a pool on ext4, XFS, Btrfs or ZFS',
  ],
  [
    /[Cc]ould not access KVM|failed to initialize kvm/i,
    'KVM cannot be used there: set DOMAIN_TYPE=qemu, or look at kvm-ok and the firmware settings',
  ],
  [/already exists/, 'somebody made it a moment ago: run the same command again, which looks anew'],
]

/** The Problem for a change that a host refused. */
export function explain({ kind, target }: VmChange, host: string, cause: CommandFailed): Problem {
  const { code, what, now } = words[kind]
  const remedy = remedies.find(([pattern]) => pattern.test(`${cause.stderr}${cause.message}`))?.[1]
  return new Problem(code, `${what(target)} on ${host}`, {
    cause,
    now: now(target),
    hint: remedy ?? again,
  })
}
