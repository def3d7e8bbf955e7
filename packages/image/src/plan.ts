import {
  codes,
  hostToolsMissing,
  poolFull,
  Problem,
  type Change,
  type Cluster,
} from '@talosmith/core'
import type { Offer } from '@talosmith/clients/factory'
import { refuseOther } from './ledger.ts'
import type { ObservedImage } from './observe.ts'

/** One thing to do for the image. */
export interface ImageChange extends Change {
  readonly kind: 'post-schematic' | 'download-image' | 'verify-image' | 'remove-partial'
}

/** Talos' nocloud images unpack to 1246 MiB (siderolabs/talos pkg/imager/profile/default.go). */
const rawBytes = 1246 * 2 ** 20
/** What travels compressed is kept beside it until all has arrived: at most so much. */
const compressedBytes = { zst: rawBytes / 3, xz: rawBytes / 3, gz: rawBytes / 3, none: rawBytes }

/** What the factory has to be told: nothing when it knows the schematic. */
export function planBuild(
  { schematic, settings }: Cluster,
  { hasSchematic }: Pick<Offer, 'hasSchematic'>,
): ImageChange[] {
  if (hasSchematic) return []
  return [
    {
      kind: 'post-schematic',
      target: schematic.id,
      summary: `Post schematic ${schematic.id.slice(0, 12)} to ${settings.TALOS_FACTORY_URL}`,
      risk: 'none',
    },
  ]
}

/** What to do so that a host has the verified image. Throws a Problem where it can't be done. */
export function planDownload(cluster: Cluster, seen: ObservedImage): ImageChange[] {
  const { image } = cluster
  // A pin and a ledger that contradict each other would only be noticed after the transfer.
  if (seen.ledger !== undefined)
    refuseOther(cluster, undefined, seen.ledger.raw, 'nothing was changed')
  if (seen.file !== undefined) return [...planVerify(cluster, seen), ...planCleaning(seen)]
  refuseWithoutMeans(cluster, seen)
  const arrived = seen.partialBytes ?? 0
  return [
    {
      kind: 'download-image',
      target: seen.path,
      summary: `Download ${image.fileName} to ${seen.host}${arrived > 0 ? `, carrying on after ${mib(arrived)} MiB` : ''}`,
      to: image.url,
      risk: 'none',
    },
  ]
}

/** An image is hashed once, and again when anything says that it may have become another. */
function planVerify(cluster: Cluster, seen: ObservedImage): ImageChange[] {
  const { file, hostLedger, ledger } = seen
  const pin = cluster.settings.IMAGE_SHA256
  const isAsRecorded =
    file !== undefined &&
    hostLedger !== undefined &&
    ledger !== undefined &&
    hostLedger.modified === file.modified &&
    hostLedger.raw.bytes === file.bytes &&
    hostLedger.raw.sha256 === ledger.raw.sha256 &&
    (pin === undefined || pin === hostLedger.raw.sha256)
  if (isAsRecorded) return []
  const isReplaced =
    file !== undefined &&
    (hostLedger?.modified !== file.modified || hostLedger.raw.bytes !== file.bytes)
  return [
    {
      kind: 'verify-image',
      target: seen.path,
      summary: `Verify the image ${seen.path} on ${seen.host}`,
      ...(isReplaced && hostLedger !== undefined
        ? {
            from: `${file.bytes} bytes, changed ${timeOf(file.modified)}`,
            to: `${hostLedger.raw.bytes} bytes, as recorded ${hostLedger.at}`,
          }
        : {}),
      risk: 'none',
    },
  ]
}

function timeOf(seconds: string): string {
  const time = new Date(Number(seconds) * 1000)
  return Number.isNaN(time.getTime()) ? seconds : time.toISOString()
}

function planCleaning({ path, host, partialBytes }: ObservedImage): ImageChange[] {
  if (partialBytes === undefined) return []
  return [
    {
      kind: 'remove-partial',
      target: path,
      summary: `Remove what a transfer left beside ${path} on ${host}`,
      risk: 'none',
    },
  ]
}

function refuseWithoutMeans({ settings }: Cluster, seen: ObservedImage): void {
  if (settings.IMAGE_PATH !== undefined)
    throw new Problem(
      codes.imageMissing,
      `IMAGE_PATH names ${seen.path}, which is not on ${seen.host}`,
      {
        now: 'nothing was changed',
        hint: 'put the raw image there, or leave IMAGE_PATH out so that it is downloaded',
      },
    )
  if (seen.missingTools.length > 0) throw hostToolsMissing(seen.host, seen.missingTools)
  const needed = rawBytes + compressedBytes[settings.IMAGE_COMPRESSION] - (seen.partialBytes ?? 0)
  if (seen.freeBytes < needed)
    throw poolFull(
      { pool: settings.STORAGE_POOL, host: seen.host },
      `${mib(seen.freeBytes)} MiB left, too little for the image`,
      `${mib(needed)} MiB are needed beside ${seen.path}`,
    )
}

function mib(bytes: number): number {
  return Math.floor(bytes / 2 ** 20)
}
