/** Plans the changes of the image: post the schematic, download, verify. */
import { dirname } from 'node:path'
import {
  codes,
  hostToolsMissing,
  poolEmpty,
  poolFull,
  poolUnreadable,
  Problem,
  type Change,
  type Cluster,
} from '@talosmith/core'
import type { Offer } from '@talosmith/clients/factory'
import { checkDigest } from './ledger.ts'
import type { ObservedImage } from './observe.ts'

/** One change of the image. */
export interface ImageChange extends Change {
  readonly kind: 'post-schematic' | 'download-image' | 'verify-image' | 'remove-partial'
}

/** The size of a decompressed nocloud image of Talos (siderolabs/talos pkg/imager/profile/default.go). */
const rawBytes = 1246 * 2 ** 20
/** The maximum size of the compressed download, which is kept until the transfer is complete. */
const compressedBytes = { zst: rawBytes / 3, xz: rawBytes / 3, gz: rawBytes / 3, none: rawBytes }

/** Posts the schematic, unless the factory already has it. */
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

/** Plans that a host has the verified image. Throws a Problem when that is impossible. */
export function planDownload(cluster: Cluster, observed: ObservedImage): ImageChange[] {
  const { image } = cluster
  // Checked before the transfer: IMAGE_SHA256 and the ledger contradict each other.
  if (observed.ledger !== undefined)
    checkDigest(cluster, undefined, observed.ledger.raw, 'nothing was changed')
  if (observed.file !== undefined)
    return [...planVerify(cluster, observed), ...planCleanup(observed)]
  checkRequirements(cluster, observed)
  const arrived = observed.partialBytes ?? 0
  return [
    {
      kind: 'download-image',
      target: observed.path,
      summary: `Download ${image.fileName} to ${observed.host}${arrived > 0 ? `, resuming after ${mib(arrived)} MiB` : ''}`,
      to: image.url,
      risk: 'none',
    },
  ]
}

/** An image is hashed once, and again when size, time or ledgers suggest that it has changed. */
function planVerify(cluster: Cluster, observed: ObservedImage): ImageChange[] {
  const { file, hostLedger, ledger } = observed
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
      target: observed.path,
      summary: `Verify the image ${observed.path} on ${observed.host}`,
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

function planCleanup({ path, host, partialBytes }: ObservedImage): ImageChange[] {
  if (partialBytes === undefined) return []
  return [
    {
      kind: 'remove-partial',
      target: path,
      summary: `Remove an interrupted transfer of ${path} on ${host}`,
      risk: 'none',
    },
  ]
}

function checkRequirements(cluster: Cluster, observed: ObservedImage): void {
  const { settings } = cluster
  if (settings.IMAGE_PATH !== undefined)
    throw new Problem(
      codes.imageMissing,
      `IMAGE_PATH is ${observed.path}, which does not exist on ${observed.host}`,
      {
        now: 'nothing was changed',
        hint: 'copy the raw image there, or unset IMAGE_PATH so that it is downloaded',
      },
    )
  const { host, path, lostDisks } = observed
  if (lostDisks.length > 0) {
    const folder = dirname(path)
    const place = `the pool ${settings.STORAGE_POOL} at ${folder}`
    const pool = settings.STORAGE_POOL
    // Through Nx it would begin with this stage.
    const others = `if the disks cannot be recovered: npx tsx packages/vm/scripts/create.ts --cluster ${cluster.file} names the commands that remove their machines`
    throw poolEmpty(cluster.name, { place, folder, host, pool }, lostDisks, [others])
  }
  if (observed.folderError !== undefined)
    throw poolUnreadable(
      { pool: settings.STORAGE_POOL, folder: dirname(path), host },
      observed.folderError,
    )
  if (observed.missingTools.length > 0) throw hostToolsMissing(observed.host, observed.missingTools)
  const forTransfer =
    rawBytes + compressedBytes[settings.IMAGE_COMPRESSION] - (observed.partialBytes ?? 0)
  const { transferFolder } = observed
  if (transferFolder !== undefined && transferFolder.freeBytes < forTransfer)
    throw new Problem(
      codes.poolFull,
      `${observed.host} has ${mib(transferFolder.freeBytes)} MiB left for the download of the image`,
      {
        because: `it needs ${mib(forTransfer)} MiB in ${transferFolder.path}, because this user may not write in ${dirname(path)}`,
        now: 'nothing was changed',
        hint: `free space in the file system of ${transferFolder.path} on ${observed.host}, then run the same command again`,
      },
    )
  const needed = transferFolder === undefined ? forTransfer : rawBytes
  if (observed.freeBytes < needed)
    throw poolFull(
      { pool: settings.STORAGE_POOL, host: observed.host },
      `${mib(observed.freeBytes)} MiB left, not enough for the image`,
      `${transferFolder === undefined ? 'the image and its download need' : 'the image needs'} ${mib(needed)} MiB in the folder of ${observed.path}`,
    )
}

function mib(bytes: number): number {
  return Math.floor(bytes / 2 ** 20)
}
