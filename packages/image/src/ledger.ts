import { generatedFiles, Problem, type Cluster, type Settings } from '@talosmith/core'

/** Size and sha256 of some bytes. */
export interface Digest {
  readonly bytes: number
  readonly sha256: string
}

/** What an image was when it was first seen. */
export interface LedgerEntry {
  readonly url: string
  readonly schematic: string
  readonly version: string
  readonly compression?: Settings['IMAGE_COMPRESSION']
  /** The bytes that travelled; missing for an image that was there before us. */
  readonly compressed?: Digest
  readonly raw: Digest
  /** When it was recorded, ISO 8601. */
  readonly at: string
}

/** An entry as it lies beside the image: with the file's time, so that a replaced file is noticed. */
export interface HostLedger extends LedgerEntry {
  /** Modification time of the image in seconds since 1970, as `stat -c %.9Y` prints it. */
  readonly modified: string
}

const fileName = 'images.json'
type Ledger = Record<string, LedgerEntry>

/** What the image is called in the ledger: the same name must always mean the same raw bytes. */
export function ledgerKey({ settings, schematic }: Cluster): string {
  return settings.IMAGE_PATH ?? `${settings.TALOS_VERSION}/${schematic.id}/nocloud-amd64.raw`
}

/** The entry of the cluster's image on the operator's machine. */
export async function readLedger(cluster: Cluster): Promise<LedgerEntry | undefined> {
  return (await readAll(cluster))[ledgerKey(cluster)]
}

/** Hosts finish side by side: each waits until the entry of the one before is written. */
let lastWrite: Promise<void> = Promise.resolve()

/**
 * Records what was seen on the operator's machine. The first entry of a key stays; throws
 * IMAGE_LEDGER_MISMATCH when the raw bytes differ from it.
 */
export async function recordInLedger(cluster: Cluster, entry: LedgerEntry): Promise<void> {
  const write = lastWrite.then(async () => {
    const ledger = await readAll(cluster)
    const known = ledger[ledgerKey(cluster)]
    refuseOther(cluster, known, entry.raw)
    // What was adopted unseen gains what is learnt when it travels once more.
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
      hint: 'restore it from a backup; or remove it, and the images on the hosts are hashed and recorded anew',
    })
  }
}

/** The raw sha256 that the image must have; undefined: none is known yet. */
export function expectedSha256(
  { settings }: Cluster,
  known: LedgerEntry | undefined,
): string | undefined {
  return settings.IMAGE_SHA256 ?? known?.raw.sha256
}

/** Throws when raw bytes differ from what the settings pin or the ledger remembers. */
export function refuseOther(
  cluster: Cluster,
  known: LedgerEntry | undefined,
  raw: Pick<Digest, 'sha256'>,
  now = 'no image was put in place or replaced',
): void {
  const pin = cluster.settings.IMAGE_SHA256
  if (pin !== undefined && pin !== raw.sha256)
    throw new Problem('IMAGE_PIN_DIFFERS', 'the raw image is not the one that IMAGE_SHA256 pins', {
      because: `pinned ${pin}, got ${raw.sha256}`,
      now,
      hint: 'find out which is right before you change IMAGE_SHA256; it is the sha256 of the unpacked image',
    })
  if (known !== undefined && known.raw.sha256 !== raw.sha256)
    throw new Problem(
      'IMAGE_LEDGER_MISMATCH',
      `the image ${ledgerKey(cluster)} is not the one first seen`,
      {
        because: `on ${known.at} its raw bytes had sha256 ${known.raw.sha256}, now ${raw.sha256}`,
        now,
        hint: `find out who changed it: bytes of one version and schematic never change. If the new ones are right, remove its entry from ${generatedFiles(cluster).path(fileName)}`,
      },
    )
}
