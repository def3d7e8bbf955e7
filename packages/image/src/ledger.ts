import { generatedFiles, Problem, type Cluster } from '@talosmith/core'

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

/** What the image is called in the ledger: the same name must always mean the same bytes. */
export function ledgerKey({ settings, schematic }: Cluster): string {
  return settings.IMAGE_PATH ?? `${settings.TALOS_VERSION}/${schematic.id}`
}

/** The entry of the cluster's image on the operator's machine. */
export async function readLedger(cluster: Cluster): Promise<LedgerEntry | undefined> {
  return (await readAll(cluster))[ledgerKey(cluster)]
}

/** Records the entry of the cluster's image on the operator's machine. */
export async function writeLedger(cluster: Cluster, entry: LedgerEntry): Promise<void> {
  const ledger = { ...(await readAll(cluster)), [ledgerKey(cluster)]: entry }
  await generatedFiles(cluster).write(fileName, `${JSON.stringify(ledger, null, 2)}\n`)
}

async function readAll(cluster: Cluster): Promise<Ledger> {
  const text = await generatedFiles(cluster).read(fileName)
  return text === undefined ? {} : (JSON.parse(text) as Ledger)
}

/** Throws when bytes differ from what the settings pin or the ledger remembers for the same image. */
export function checkDigests(
  cluster: Cluster,
  known: LedgerEntry | undefined,
  seen: Pick<LedgerEntry, 'raw' | 'compressed'>,
): void {
  const pin = cluster.settings.IMAGE_SHA256
  if (pin !== undefined && pin !== seen.raw.sha256)
    throw new Problem('IMAGE_PIN_DIFFERS', 'the raw image is not the one that IMAGE_SHA256 pins', {
      because: `pinned ${pin}, got ${seen.raw.sha256}`,
      now: 'no image was put in place or replaced',
      hint: 'find out which is right before you change IMAGE_SHA256',
    })
  if (known !== undefined && known.raw.sha256 !== seen.raw.sha256)
    throw new Problem(
      'IMAGE_LEDGER_MISMATCH',
      `the image ${ledgerKey(cluster)} is not the one first seen`,
      {
        because: `on ${known.at} its raw bytes had sha256 ${known.raw.sha256}, now ${seen.raw.sha256}`,
        now: 'no image was put in place or replaced',
        hint: `bytes of one version and schematic never change: somebody replaced them. If you know why, remove its entry from ${generatedFiles(cluster).path(fileName)}`,
      },
    )
}
