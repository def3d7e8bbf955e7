/** Problems of a KVM host that several packages report with the same text. */
import { codes } from './codes.ts'
import { Problem } from './problem.ts'
import { quote } from './process/command.ts'

const now = 'nothing was changed'

/** The package of a program, where it differs from the program's name. */
const packages: Readonly<Record<string, { readonly debian: string; readonly fedora: string }>> = {
  xz: { debian: 'xz-utils', fedora: 'xz' },
  sha256sum: { debian: 'coreutils', fedora: 'coreutils' },
  flock: { debian: 'util-linux', fedora: 'util-linux' },
  'qemu-img': { debian: 'qemu-utils', fedora: 'qemu-img' },
}

/** The Problem of programs that are missing on a host. */
export function hostToolsMissing(
  host: string,
  tools: readonly string[],
  because?: string,
): Problem {
  const named = (of: 'debian' | 'fedora'): string =>
    [...new Set(tools.map((tool) => packages[tool]?.[of] ?? tool))].join(' ')
  return new Problem(codes.hostToolsMissing, `${host} lacks ${tools.join(', ')}`, {
    because,
    now,
    hint: `install them there: apt-get install ${named('debian')}, or dnf install ${named('fedora')}`,
  })
}

/** The Problem of a host without UEFI firmware for QEMU. */
export function firmwareMissing(host: string): Problem {
  return new Problem(codes.firmwareMissing, `${host} has no UEFI firmware for QEMU`, {
    because: 'virsh domcapabilities --machine q35 lists no firmware "efi"',
    now,
    hint: 'install it there: apt-get install ovmf, or dnf install edk2-ovmf; or set UEFI=false',
  })
}

/** The Problem of a full storage pool: `left` is its free space, and what it is too little for. */
export function poolFull(
  { pool, host }: { readonly pool: string; readonly host: string },
  left: string,
  because?: string,
): Problem {
  return new Problem(codes.poolFull, `the pool ${pool} on ${host} has ${left}`, {
    because,
    now,
    hint: `free space there (image:prune removes images that no cluster uses), or set STORAGE_POOL to a larger pool`,
  })
}

/** The Problem of a pool whose folder does not exist or cannot be read; libvirt calls it active until it is refreshed. */
export function poolUnreadable(
  { pool, folder, host }: { readonly pool: string; readonly folder: string; readonly host: string },
  because: string,
): Problem {
  return new Problem(
    codes.poolUnreadable,
    `the folder ${folder} of the pool ${pool} on ${host} cannot be read`,
    {
      because,
      now,
      // A pool of type dir or fs gets its folder from a build (libvirt: docs/storage.rst).
      hint: `on ${host}, see what is there and what is not mounted (ls -ld ${quote(folder)}; findmnt --fstab), and put the folder back or mount it (mount -a; virsh pool-refresh ${quote(pool)}); if it was to be empty: virsh pool-build ${quote(pool)}. Or set STORAGE_POOL to another pool`,
    },
  )
}

/**
 * The Problem of a folder, `place` in words, that holds none of the disks `lost`; `otherwise`: what to do if it has
 * nothing to mount. A pool is refreshed, and started first where it is not active.
 */
export function poolEmpty(
  cluster: string,
  at: {
    readonly place: string
    readonly folder: string
    readonly host: string
    /** The storage pool of the folder; undefined: it is none. */
    readonly pool?: string
    readonly isActive?: boolean
  },
  lost: readonly string[],
  otherwise: readonly string[],
): Problem {
  const { place, folder, host, pool, isActive = true } = at
  const count = lost.length === 1 ? 'the disk of a machine' : `any of the ${lost.length} disks`
  // A pool of type fs or netfs mounts its file system when it starts (libvirt: docs/storage.rst).
  const start = pool === undefined || isActive ? '' : `virsh pool-start ${quote(pool)}, or `
  const refresh = pool === undefined ? '' : `; virsh pool-refresh ${quote(pool)}`
  return new Problem(
    codes.poolEmpty,
    `${place} on ${host} does not hold ${count} of ${cluster}: is its file system mounted?`,
    {
      because: `missing: ${lost.join(', ')}`,
      now: `${now}; what is written there now is hidden when it is mounted again`,
      hint: [
        `on ${host}, see what is not mounted (findmnt -T ${quote(folder)}; findmnt --fstab), then ${start}mount it (mount -a${refresh}), and run the same command again`,
        ...otherwise,
      ].join('\n'),
    },
  )
}
