/** Verifies an image that exists on a host. */
import { dirname } from 'node:path'
import {
  minute,
  onStorage,
  parseLabelledLines,
  poolFiles,
  Problem,
  quote,
  type Cluster,
  type Host,
} from '@talosmith/core'
import { verifyScript } from './host-scripts.ts'
import {
  readLedger,
  recordInLedger,
  checkDigest,
  type HostLedger,
  type LedgerEntry,
} from './ledger.ts'
import { imagePlace } from './observe.ts'

/** Less than a MiB/s. */
const hashMs = 30 * minute

/** Formats that an image must not have, by their first four bytes in hexadecimal. */
const formats: Readonly<Record<string, string>> = {
  '514649fb': 'qcow2',
  '28b52ffd': 'zstd',
  fd377a58: 'xz',
}

/**
 * Hashes an existing image, compares it with IMAGE_SHA256 and the ledger, and records it beside the image and
 * on the operator's machine. An image without a record is accepted as it is.
 */
export async function verifyImage(path: string, host: Host, cluster: Cluster): Promise<void> {
  const pool = cluster.settings.STORAGE_POOL
  const { stdout } = await onStorage(
    host,
    [imagePlace(cluster, path)],
    (options) => host.$(options)`bash -c ${verifyScript(pool)} talosmith-image ${path}`,
    { withinMs: hashMs },
  )
  const report = parseLabelledLines(stdout)
  const start = report.first('start') ?? ''
  if (start !== 'disk') throw notRaw(path, host, start)
  const raw = { bytes: Number(report.first('bytes')), sha256: report.first('sha256') ?? '' }
  const known = await readLedger(cluster)
  checkDigest(cluster, known, raw, `${path} on ${host.name} was not changed`)
  const entry: LedgerEntry = known ?? {
    url: cluster.settings.IMAGE_PATH ?? cluster.image.url,
    schematic: cluster.schematic.id,
    version: cluster.settings.TALOS_VERSION,
    raw,
    at: new Date().toISOString(),
  }
  const beside: HostLedger = { ...entry, modified: report.first('modified') ?? '' }
  // Where it can be neither a file nor a volume, the image is hashed again by every run.
  await host.$({ ...poolFiles(pool), input: `${JSON.stringify(beside)}\n` })`: record the image
eval "$POOL_FILES"
if may_write ${dirname(path)} || in_pool ${path}; then
  work=$(pool_work ${`${path}.ledger.json.talosmith-partial`})
  cat >"$work/ledger"
  pool_put "$work/ledger" ${`${path}.ledger.json`}
  rm -rf -- "$work"
fi`
  await recordInLedger(cluster, entry)
}

function notRaw(path: string, host: Host, start: string): Problem {
  const isGzip = start.startsWith('1f8b')
  const format = isGzip ? 'gzip' : formats[start]
  return new Problem('IMAGE_NOT_RAW', `${path} on ${host.name} is not a raw disk image`, {
    because:
      format === undefined ? 'it does not start with a boot sector' : `it is a ${format} file`,
    now: 'it was not changed',
    hint:
      format === 'qcow2'
        ? `qemu-img convert -O raw ${quote(path)} <new file>, and use the new file`
        : format === undefined
          ? 'replace it with a raw Talos nocloud image'
          : `decompress it first: ${isGzip ? 'gzip' : format} -d`,
  })
}
