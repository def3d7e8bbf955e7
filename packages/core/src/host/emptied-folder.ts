/** When a folder is taken for one whose file system is not mounted: one rule for images and machines. Pure. */
import { posix } from 'node:path'
import type { DiskNote } from './domain-metadata.ts'

/** Whether a machine has had a disk: it was recorded, or the machine, which is not off, has opened it. */
export function hadDisk(diskNote: DiskNote, isOff: boolean): boolean {
  return diskNote !== 'none' || !isOff
}

/**
 * Whether a folder holds nothing of what it held: all disks that machines had there, `lost`, are gone, and none of the
 * cluster's files, `left`, is in it. A single disk may have been removed by itself, so of a single one the image must
 * be gone, too: beside several it may have been downloaded again.
 */
export function isEmptied(
  folder: string,
  lost: readonly string[],
  { left, image }: { readonly left: Iterable<string>; readonly image: string | undefined },
): boolean {
  const here = (path: string): boolean => posix.dirname(path) === folder
  const count = lost.filter(here).length
  const kept = [...left, ...(image !== undefined && count === 1 ? [image] : [])]
  return count > 0 && !kept.some(here)
}
