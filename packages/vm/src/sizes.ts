/** Sizes of disks and pools, as people read them. */

/** One GiB, in bytes. */
export const gib: number = 2 ** 30

/** Bytes in GiB, with one decimal. */
export function inGib(bytes = 0): number {
  return Math.round((bytes / gib) * 10) / 10
}
