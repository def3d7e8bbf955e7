import { Problem, renderTable, type Change, type Host } from '@talosmith/core'
import { removePartial } from './apply.ts'
import type { StoredImage, StoredImages } from './stored.ts'

/** One image to remove from one host. */
export interface PruneChange extends Change {
  readonly kind: 'remove-image' | 'remove-partial'
  /** The image's path. */
  readonly target: string
  /** The host's place in LIBVIRT_URI. */
  readonly host: number
}

/**
 * What nothing uses and we have put there. Throws IMAGE_USE_UNKNOWN when a disk does not say what it
 * backs onto: any image may then be the one that it needs.
 */
export function planPrune(hosts: readonly StoredImages[]): PruneChange[] {
  return hosts.flatMap(({ host, images, unreadable }, index) => {
    const removable = images.flatMap((image) => planImage(image, host, index))
    if (unreadable.length > 0 && removable.some(({ kind }) => kind === 'remove-image'))
      throw new Problem('IMAGE_USE_UNKNOWN', `which images are in use on ${host} is not known`, {
        because: unreadable.map((path) => `${path} can't be read`).join('\n'),
        now: 'nothing was changed',
        hint: `look at them on ${host} (qemu-img info -U <file>), mend or remove them, then run the same command again`,
      })
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
  const partial = hasPartial
    ? [change('remove-partial', `Remove what a transfer left beside ${path} on ${host}`)]
    : []
  if (usedBy.length > 0 || ledger === undefined) return partial
  const remove = change('remove-image', `Remove image ${path} from ${host}`)
  return [
    ...partial,
    bytes === undefined ? remove : { ...remove, from: `${Math.round(usedBytes / 2 ** 20)} MiB` },
  ]
}

/** What pruning leaves alone, and why; a sentence each. */
export function describeKept(hosts: readonly StoredImages[]): string[] {
  return hosts.flatMap(({ host, images }) =>
    images
      .filter(({ bytes }) => bytes !== undefined)
      .flatMap(({ path, usedBy, ledger }) =>
        usedBy.length > 0
          ? [`${path} on ${host}: used by ${usedBy.join(', ')}`]
          : ledger === undefined
            ? [`${path} on ${host}: no ledger beside it says that it is ours`]
            : [],
      ),
  )
}

/** Removes one; `look` sees the host anew, since a machine may have been made on the image meanwhile. */
export async function applyPrune(
  { kind, target }: PruneChange,
  host: Host,
  look: () => Promise<StoredImages>,
): Promise<void> {
  if (kind === 'remove-partial') return removePartial(target, host)
  const seen = await look()
  const users = seen.images.find(({ path }) => path === target)?.usedBy ?? []
  if (users.length > 0 || seen.unreadable.length > 0)
    throw new Problem('IMAGE_IN_USE', `${target} on ${host.name} has come into use meanwhile`, {
      because: [...users, ...seen.unreadable].join(', '),
      now: 'it was not removed',
      hint: 'run the same command again: it looks anew',
    })
  await host.$`rm -f -- ${target}; rm -f -- ${`${target}.ledger.json`}`
}

/** The images of all hosts as a table for people. */
export function renderImages(hosts: readonly StoredImages[]): string {
  return renderTable([
    ['IMAGE', 'HOST', 'VERSION', 'SCHEMATIC', 'ON DISK', 'USED BY'],
    ...hosts.flatMap(({ host, images }) =>
      images.map(({ path, bytes, usedBytes, ledger, hasPartial, usedBy }) => [
        path,
        host,
        ledger?.version ?? '?',
        ledger?.schematic.slice(0, 12) ?? '?',
        bytes === undefined ? 'not there' : `${Math.round(usedBytes / 2 ** 20)} MiB`,
        usedBy.join(', ') || (hasPartial ? 'a transfer' : 'nothing'),
      ]),
    ),
  ])
}
