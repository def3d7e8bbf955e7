/** The record of image digests, on the operator's machine and beside each image. */
import { generatedFiles, Problem, type Cluster, type Settings } from '@talosmith/core'

/** Size and sha256 of some bytes. */
export interface Digest {
  readonly bytes: number
  readonly sha256: string
}

/** The digests of an image when it was first recorded. */
export interface LedgerEntry {
  readonly url: string
  readonly schematic: string
  readonly version: string
  readonly compression?: Settings['IMAGE_COMPRESSION']
  /** The compressed download; undefined for an image that already existed on the host. */
  readonly compressed?: Digest
  readonly raw: Digest
  /** When it was recorded, ISO 8601. */
  readonly at: string
}

/** The entry beside the image, with its modification time, which changes when the file is replaced. */
export interface HostLedger extends LedgerEntry {
  /** Modification time of the image in seconds since 1970, as `stat -c %.9Y` prints it. */
  readonly modified: string
}

const fileName = 'images.json'
type Ledger = Record<string, LedgerEntry>

/** The key of the cluster's image: one key always has the same raw bytes. */
export function ledgerKey({ settings, schematic }: Cluster): string {
  return settings.IMAGE_PATH ?? `${settings.TALOS_VERSION}/${schematic.id}/nocloud-amd64.raw`
}

/** The entry of the cluster's image on the operator's machine. */
export async function readLedger(cluster: Cluster): Promise<LedgerEntry | undefined> {
  return (await readAll(cluster))[ledgerKey(cluster)]
}

/** Serializes the writes of hosts that finish at the same time. */
let lastWrite: Promise<void> = Promise.resolve()

/**
 * Records an entry on the operator's machine. The first entry of a key is kept; throws IMAGE_LEDGER_MISMATCH
 * when the raw bytes differ from it.
 */
export async function recordInLedger(cluster: Cluster, entry: LedgerEntry): Promise<void> {
  const write = lastWrite.then(async () => {
    const ledger = await readAll(cluster)
    const known = ledger[ledgerKey(cluster)]
    checkDigest(cluster, known, entry.raw)
    // The entry of an image that already existed gets the digest of a later download.
    if (known !== undefined && (known.compressed !== undefined || entry.compressed === undefined))
      return
    ledger[ledgerKey(cluster)] = known === undefined ? entry : { ...entry, at: known.at }
    await generatedFiles(cluster).write(fileName, `${JSON.stringify(ledger, null, 2)}\n`)
  })
  lastWrite = write.catch(() => undefined)
  return write
}

async function readAll(cluster: Cluster): Promise<Ledger> {
  const files = generatedFiles(cluster)
  const text = await files.read(fileName)
  if (text === undefined) return {}
  try {
    return JSON.parse(text) as Ledger
  } catch (cause) {
    throw new Problem('IMAGE_LEDGER_UNREADABLE', `${files.path(fileName)} is not JSON`, {
      cause,
      now: 'nothing was changed',
      hint: 'restore it from a backup; or remove it, and the images on the hosts are hashed and recorded again',
    })
  }
}

/** The sha256 that the raw image must have; undefined: not known yet. */
export function expectedSha256(
  { settings }: Cluster,
  known: LedgerEntry | undefined,
): string | undefined {
  return settings.IMAGE_SHA256 ?? known?.raw.sha256
}

/** Throws when the raw image differs from IMAGE_SHA256 or the ledger. */
export function checkDigest(
  cluster: Cluster,
  known: LedgerEntry | undefined,
  raw: Pick<Digest, 'sha256'>,
  now = 'no image was created or replaced',
): void {
  const pin = cluster.settings.IMAGE_SHA256
  if (pin !== undefined && pin !== raw.sha256)
    throw new Problem(
      'IMAGE_PIN_DIFFERS',
      'the sha256 of the raw image differs from IMAGE_SHA256',
      {
        because: `expected ${pin}, got ${raw.sha256}`,
        now,
        hint: 'find out which is right before you change IMAGE_SHA256; it is the sha256 of the decompressed image',
      },
    )
  if (known !== undefined && known.raw.sha256 !== raw.sha256)
    throw new Problem(
      'IMAGE_LEDGER_MISMATCH',
      `the image ${ledgerKey(cluster)} differs from the one first recorded`,
      {
        because: `the raw image had sha256 ${known.raw.sha256} on ${known.at}, and has ${raw.sha256} now`,
        now,
        hint: `find out why it changed: an image of one version and schematic never changes. If the new one is right, remove its entry from ${generatedFiles(cluster).path(fileName)}`,
      },
    )
}
