/** Problems of a KVM host that several parts find: one text for each. */
import { codes } from './codes.ts'
import { Problem } from './problem.ts'

const now = 'nothing was changed'

/** The package that a program is in; those that are not listed are in one of their own name. */
const packages: Readonly<Record<string, { readonly debian: string; readonly fedora: string }>> = {
  xz: { debian: 'xz-utils', fedora: 'xz' },
  sha256sum: { debian: 'coreutils', fedora: 'coreutils' },
  flock: { debian: 'util-linux', fedora: 'util-linux' },
  'qemu-img': { debian: 'qemu-utils', fedora: 'qemu-img' },
}

/** Programs that a host lacks. */
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

/** A host without UEFI firmware for QEMU. */
export function firmwareMissing(host: string): Problem {
  return new Problem(codes.firmwareMissing, `${host} has no UEFI firmware for QEMU`, {
    because: 'virsh domcapabilities --machine q35 lists no firmware "efi"',
    now,
    hint: 'install it there: apt-get install ovmf, or dnf install edk2-ovmf; or set UEFI=false',
  })
}

/** A storage pool without room: `left` is what there is, and for what it is too little. */
export function poolFull(
  { pool, host }: { readonly pool: string; readonly host: string },
  left: string,
  because?: string,
): Problem {
  return new Problem(codes.poolFull, `the pool ${pool} on ${host} has ${left}`, {
    because,
    now,
    hint: `make room there (image:prune removes images that no cluster uses), or set STORAGE_POOL to a larger pool`,
  })
}
