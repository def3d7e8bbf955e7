/** Turns a failed command on a host into a Problem with a hint. */
import { Problem, redactShapes, type CommandFailed } from '@talosmith/core'
import type { VmChange } from './vm-change.ts'

interface Failure {
  readonly code: string
  readonly what: (target: string) => string
  readonly now: (target: string) => string
}

const again = 'fix the cause, then run the same command again: it continues from here'

const define: Failure = {
  code: 'VM_DEFINE_FAILED',
  what: (target) => `could not define ${target}`,
  now: (target) => `${target} is unchanged; none of its files was created`,
}
const change: Failure = { ...define, now: (target) => `${target} is unchanged` }
const disk: Failure = {
  code: 'VM_DISK_FAILED',
  what: (target) => `could not create or grow the disk of ${target}`,
  now: (target) => `${target} is defined; its disk is unchanged`,
}
const power: Failure = {
  code: 'VM_START_FAILED',
  what: (target) => `could not start ${target}`,
  now: (target) => `${target} is defined and has its disk and seed ISO, but is not running`,
}
const stop: Failure = {
  code: 'VM_STOP_FAILED',
  what: (target) => `could not stop ${target}`,
  now: (target) => `${target} is still running; none of its files was removed`,
}
const remove: Failure = {
  code: 'VM_REMOVE_FAILED',
  what: (target) => `could not remove ${target} completely`,
  now: (target) => `the next run finds what is left of ${target}`,
}

const network: Failure = {
  code: 'ADDRESS_NOT_RESERVED',
  what: (target) => `could not change the reservation of the address of ${target}`,
  now: (target) => `the network has the reservation of ${target} as before`,
}

const failures: Record<VmChange['kind'], Failure> = {
  'reserve-address': network,
  'define-domain': define,
  'update-domain': change,
  'note-cluster-id': change,
  'drop-channel': change,
  'create-disk': disk,
  'grow-disk': disk,
  'record-disk': change,
  'create-seed': {
    code: 'VM_SEED_FAILED',
    what: (target) => `could not create the seed ISO of ${target}`,
    now: (target) => `${target} is defined; its seed ISO is unchanged`,
  },
  'set-autostart': change,
  'start-domain': power,
  'stop-domain': stop,
  'cut-power': stop,
  'remove-disk': remove,
  'undefine-domain': remove,
  'rebuild-domain': {
    code: 'VM_DEFINE_FAILED',
    what: (target) => `could not reset ${target}`,
    now: (target) =>
      `the disk of ${target} is removed, its definition and disks that were added by hand are as before`,
  },
  'remove-seed': remove,
  'remove-leftover': remove,
  'release-address': network,
}

/** Hints for common errors of libvirt and QEMU. */
const remedies: readonly (readonly [RegExp, string])[] = [
  [
    /Permission denied/,
    'QEMU runs as its own user, which needs search permission on every folder above the disk (namei -l <disk> shows them; chmod o+x). On Debian and Ubuntu a pool outside /var/lib/libvirt also needs a line in /etc/apparmor.d/local/abstractions/libvirt-qemu',
  ],
  [
    /Cannot allocate memory|cannot set up guest memory/,
    'the host does not have enough free memory: stop other machines, or lower CONTROL_PLANE_MEMORY_MIB or WORKER_MEMORY_MIB',
  ],
  [
    /Cannot access (?:storage|backing) file/,
    'its disk, or a file below it, is missing: mount the file system, or see what vm:create reports',
  ],
  [
    /did not end within/,
    'the host, or the storage of the pool, does not answer: see findmnt, df and dmesg there, then run the same command again: it continues from here',
  ],
  [
    /Read-only file system/,
    'the kernel makes a file system with errors read-only: look at dmesg, check the disk, mount it again (mount -o remount,rw), then run the same command again: it continues from here',
  ],
  [
    /No space left/,
    'free up space in the pool, then run the same command again: it continues from here',
  ],
  [
    /topology|NUMA|vcpus?\b.*(?:maximum|exceed|out of range)/i,
    'what was set by hand in its definition (topology, numa, cputune) does not fit the number of CPUs in the settings: change one of them (virsh edit <machine>, or CONTROL_PLANE_CPU or WORKER_CPU), then run the same command again',
  ],
  [
    /network '[^']*' is not active/,
    'virsh net-start <network> && virsh net-autostart <network>, then run the same command again',
  ],
  [
    /O_DIRECT|does not support direct/,
    'the pool is on a file system without O_DIRECT; use a pool on ext4, XFS, Btrfs or ZFS',
  ],
  [
    /[Cc]ould not access KVM|failed to initialize kvm/i,
    'KVM cannot be used on this host: set DOMAIN_TYPE=qemu, or check kvm-ok and the firmware settings',
  ],
  [
    /already exists|exists already|dhcp host entry/,
    'another process has just changed it: run the same command again, which checks the host again',
  ],
]

/** The Problem for a change that failed on a host. */
export function explain({ kind, target }: VmChange, host: string, cause: CommandFailed): Problem {
  const { code, what, now } = failures[kind]
  const remedy = remedies.find(([pattern]) => pattern.test(`${cause.stderr}${cause.message}`))?.[1]
  return new Problem(code, `${what(target)} on ${host}`, {
    cause,
    // libvirt quotes the line of a definition that it rejects.
    because: redactShapes(cause.message),
    now: now(target),
    hint: remedy ?? again,
  })
}
