import { Problem, type Cluster, type Host } from '@talosmith/core'
import { verifyScript } from './host-scripts.ts'
import {
  readLedger,
  recordInLedger,
  refuseOther,
  type HostLedger,
  type LedgerEntry,
} from './ledger.ts'

/** The first four bytes of what an image must not be, in hexadecimal. */
const formats: Readonly<Record<string, string>> = {
  '514649fb': 'qcow2',
  '28b52ffd': 'zstd',
  fd377a58: 'xz',
}

/**
 * Hashes an image that is there, checks it against pin and ledger, and records it beside the image
 * and on the operator's machine. An image that nobody recorded before is adopted as it is.
 */
export async function verifyImage(path: string, host: Host, cluster: Cluster): Promise<void> {
  const { stdout } = await host.$`bash -c ${verifyScript} talosmith-image ${path}`
  const [bytes, sha256 = '', modified = '', start = ''] = stdout.trim().split(' ')
  if (start !== 'disk') throw noDisk(path, host, start)
  const raw = { bytes: Number(bytes), sha256 }
  const known = await readLedger(cluster)
  refuseOther(cluster, known, raw, `${path} on ${host.name} was left as it is`)
  const entry: LedgerEntry = known ?? {
    url: cluster.settings.IMAGE_PATH ?? cluster.image.url,
    schematic: cluster.schematic.id,
    version: cluster.settings.TALOS_VERSION,
    raw,
    at: new Date().toISOString(),
  }
  const beside: HostLedger = { ...entry, modified }
  await host.write(`${path}.ledger.json`, `${JSON.stringify(beside)}\n`)
  await recordInLedger(cluster, entry)
}

function noDisk(path: string, host: Host, start: string): Problem {
  const isGzip = start.startsWith('1f8b')
  const format = isGzip ? 'gzip' : formats[start]
  return new Problem('IMAGE_NOT_RAW', `${path} on ${host.name} is not a raw disk image`, {
    because:
      format === undefined ? 'it does not begin as a disk does' : `it begins as ${format} does`,
    now: 'it was left as it is',
    hint:
      format === 'qcow2'
        ? `qemu-img convert -O raw ${path} <new file>, and name that one`
        : format === undefined
          ? 'put a raw Talos nocloud image there'
          : `unpack it first: ${isGzip ? 'gzip' : format} -d`,
  })
}
