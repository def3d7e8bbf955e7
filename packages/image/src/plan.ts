import { Problem, type Change, type Cluster } from '@talosmith/core'
import type { ObservedImage } from './observe.ts'
import type { Offer } from './factory.ts'

/** What has to happen for the image of one host. */
export interface ImageChange extends Change {
  readonly kind: 'post-schematic' | 'download-image' | 'verify-image'
}

/** Talos' nocloud images have 1246 MiB; what travels is at most a third of it. */
const rawBytes = 1246 * 2 ** 20
const neededBytes = rawBytes + rawBytes / 3

/** What the factory has to be told: nothing when it knows the schematic. */
export function planBuild(
  { schematic, settings }: Cluster,
  { hasSchematic }: Offer,
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

/** What to do so that a host has the verified image. Throws where it can't be done. */
export function planDownload(cluster: Cluster, seen: ObservedImage): ImageChange[] {
  const { settings, image } = cluster
  const { file, hostLedger, ledger } = seen
  const verify: ImageChange = {
    kind: 'verify-image',
    target: seen.path,
    summary: `Verify the image ${seen.path} on ${seen.host}`,
    risk: 'none',
  }
  if (file !== undefined) {
    const known = hostLedger ?? undefined
    const isAsRecorded =
      known !== undefined &&
      known.modified === file.modified &&
      known.raw.bytes === file.bytes &&
      (ledger === undefined || ledger.raw.sha256 === known.raw.sha256) &&
      (settings.IMAGE_SHA256 === undefined || settings.IMAGE_SHA256 === known.raw.sha256)
    return isAsRecorded && ledger !== undefined ? [] : [verify]
  }
  if (settings.IMAGE_PATH !== undefined)
    throw new Problem(
      'IMAGE_PATH_MISSING',
      `IMAGE_PATH names ${seen.path}, which is not on ${seen.host}`,
      {
        now: 'nothing was changed',
        hint: `put the raw image there, or clear IMAGE_PATH to have it downloaded`,
      },
    )
  if (seen.missingTools.length > 0)
    throw new Problem('HOST_TOOLS_MISSING', `${seen.host} lacks ${seen.missingTools.join(', ')}`, {
      now: 'nothing was changed',
      hint: `install them there, for example: apt install ${seen.missingTools.map(packageOf).join(' ')}`,
    })
  if (seen.freeBytes + seen.partialBytes < neededBytes)
    throw new Problem(
      'DISK_SPACE',
      `the pool ${settings.STORAGE_POOL} on ${seen.host} is too full for the image`,
      {
        because: `${mib(seen.freeBytes)} MiB are free, ${mib(neededBytes)} MiB are needed`,
        now: 'nothing was changed',
        hint: `make room beside ${seen.path}, or name another pool with STORAGE_POOL`,
      },
    )
  const resumed = seen.partialBytes > 0 ? `, carrying on after ${mib(seen.partialBytes)} MiB` : ''
  return [
    {
      kind: 'download-image',
      target: seen.path,
      summary: `Download ${image.fileName} to ${seen.host}${resumed}`,
      to: image.url,
      risk: 'none',
    },
  ]
}

function packageOf(tool: string): string {
  return ({ xz: 'xz-utils', sha256sum: 'coreutils' } as Record<string, string>)[tool] ?? tool
}

function mib(bytes: number): number {
  return Math.floor(bytes / 2 ** 20)
}
