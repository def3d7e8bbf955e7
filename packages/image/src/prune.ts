/** Removes images that no disk uses. */
import { dirname } from 'node:path'
import {
  minute,
  onStorage,
  poolFiles,
  Problem,
  renderTable,
  type Change,
  type Host,
} from '@talosmith/core'
import { removePartial } from './apply.ts'
import type { StoredImage, StoredImages } from './stored.ts'

/** One image to remove from one host. */
export interface PruneChange extends Change {
  readonly kind: 'remove-image' | 'remove-partial'
  /** The image's path. */
  readonly target: string
  /** The host's index in LIBVIRT_URI. */
  readonly host: number
}

/**
 * Plans the removal of unused images that Talosmith downloaded. Throws IMAGE_USE_UNKNOWN when the backing file
 * of a disk cannot be read, because it may be any of the images.
 */
export function planPrune(hosts: readonly StoredImages[]): PruneChange[] {
  return hosts.flatMap(({ host, images, unreadable }, index) => {
    const removable = images.flatMap((image) => planImage(image, host, index))
    if (unreadable.length > 0 && removable.some(({ kind }) => kind === 'remove-image'))
      throw new Problem(
        'IMAGE_USE_UNKNOWN',
        `cannot determine which images are in use on ${host}`,
        {
          because: unreadable.map((disk) => `cannot read ${disk}`).join('\n'),
          now: 'nothing was changed',
          hint: `inspect them on ${host} (qemu-img info -U <file>): mount the file system of a missing one; fix or remove a damaged one, and a machine that is no longer needed. Then run the same command again`,
        },
      )
    return removable
  })
}

function planImage(image: StoredImage, host: string, index: number): PruneChange[] {
  const { path, bytes, usedBytes, ledger, hasPartial, usedBy } = image
  const change = (kind: PruneChange['kind'], summary: string): PruneChange => ({
    kind,
    target: path,
    summary,
    host: index,
    risk: 'none',
  })
  // One that was uploaded in part goes with its marker.
  const partial =
    hasPartial && (bytes !== undefined || usedBy.length === 0)
      ? [change('remove-partial', `Remove an interrupted transfer of ${path} on ${host}`)]
      : []
  if (usedBy.length > 0 || ledger === undefined) return partial
  const remove = change('remove-image', `Remove image ${path} from ${host}`)
  return [
    ...partial,
    bytes === undefined ? remove : { ...remove, from: `${Math.round(usedBytes / 2 ** 20)} MiB` },
  ]
}

/** The images that pruning keeps, with the reason; a sentence each. */
export function describeKept(hosts: readonly StoredImages[]): string[] {
  return hosts.flatMap(({ host, images }) =>
    images
      .filter(({ bytes }) => bytes !== undefined)
      .flatMap(({ path, usedBy, ledger }) =>
        usedBy.length > 0
          ? [`${path} on ${host}: used by ${usedBy.join(', ')}`]
          : ledger === undefined
            ? [`${path} on ${host}: it has no ledger, so it may not be ours`]
            : [],
      ),
  )
}

/** Removes one image; `observe` checks the host again, because a new machine may use the image. */
export async function applyPrune(
  { kind, target }: PruneChange,
  { host, pool }: { readonly host: Host; readonly pool: string },
  observe: () => Promise<StoredImages>,
): Promise<void> {
  const places = [{ what: 'the pool', folder: dirname(target) }]
  const limits = { withinMs: 10 * minute, now: 'it may be removed once the storage answers' }
  const observed = await observe()
  const image = observed.images.find(({ path }) => path === target)
  // A complete image stays; one that was uploaded in part goes with its marker.
  const isRemoved =
    kind === 'remove-image' || (image?.bytes === undefined && (image?.usedBytes ?? 0) > 0)
  const users = image?.usedBy ?? []
  if (isRemoved && (users.length > 0 || observed.unreadable.length > 0))
    throw new Problem(
      'IMAGE_IN_USE',
      `${target} on ${host.name} is in use since the plan was made`,
      {
        because: [...users, ...observed.unreadable].join(', '),
        now: 'it was not removed',
        hint: 'run the same command again: it checks the host again',
      },
    )
  if (kind === 'remove-partial')
    return onStorage(host, places, (options) => removePartial(target, host, pool, options), limits)
  const ledger = `${target}.ledger.json`
  await onStorage(
    host,
    places,
    (options) => host.$({ ...options, ...poolFiles(pool) })`: remove the image
eval "$POOL_FILES"
pool_remove ${target} ${ledger}`,
    limits,
  )
}

/** The images of all hosts as a table. */
export function renderImages(hosts: readonly StoredImages[]): string {
  return renderTable([
    ['IMAGE', 'HOST', 'VERSION', 'SCHEMATIC', 'ON DISK', 'USED BY'],
    ...hosts.flatMap(({ host, images }) =>
      images.map(({ path, bytes, usedBytes, ledger, hasPartial, usedBy }) => [
        path,
        host,
        ledger?.version ?? '?',
        ledger?.schematic.slice(0, 12) ?? '?',
        bytes === undefined ? 'missing' : `${Math.round(usedBytes / 2 ** 20)} MiB`,
        usedBy.join(', ') || (hasPartial ? 'a transfer' : 'nothing'),
      ]),
    ),
  ])
}
