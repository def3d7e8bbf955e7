/** Problems of a KVM host that several packages report with the same text. */
import { codes } from './codes.ts'
import { Problem } from './problem.ts'

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
