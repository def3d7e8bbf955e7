import { dirname } from 'node:path'
import {
  hostFiles,
  parseLabelledLines,
  poolPath,
  type Cluster,
  type Host,
  type Settings,
} from '@talosmith/core'
import { readLedger, type HostLedger, type LedgerEntry } from './ledger.ts'

/** The image as it is on one host. */
export interface ObservedImage {
  readonly host: string
  readonly path: string
  /** Size and time of the file; undefined: there is none. */
  readonly file: { readonly bytes: number; readonly modified: string } | undefined
  /** What lies beside the image. */
  readonly hostLedger: HostLedger | undefined
  /** What the operator's machine remembers. */
  readonly ledger: LedgerEntry | undefined
  /** Bytes that a broken transfer left; undefined: it left nothing. */
  readonly partialBytes: number | undefined
  readonly freeBytes: number
  /** Programs that a transfer needs and the host lacks. */
  readonly missingTools: readonly string[]
}

/** What unpacks each compression. */
export const unpackers = { zst: 'zstd', xz: 'xz', gz: 'gzip', none: 'cat' } as const

/** The folder of a transfer under way, beside the image. */
export function partialFolder(image: string): string {
  return `${image}.partial`
}

/** Looks at the image on a host: two commands, one where IMAGE_PATH names the file. */
export async function observeImage(host: Host, cluster: Cluster): Promise<ObservedImage> {
  const { IMAGE_PATH, STORAGE_POOL } = cluster.settings
  const pool = IMAGE_PATH === undefined ? await poolPath(host, STORAGE_POOL) : dirname(IMAGE_PATH)
  return observeImageIn(pool, host, cluster)
}

/** Looks at the image in the pool's folder. */
export async function observeImageIn(
  pool: string,
  host: Host,
  cluster: Cluster,
): Promise<ObservedImage> {
  const { image, ledger } = hostFiles(cluster, pool)
  const folder = partialFolder(image)
  const { stdout } = await host.$`
    stat -L -c ${'file %s %.9Y'} ${image} 2>/dev/null || true
    if [ -e ${ledger} ]; then echo "ledger $(tr -d ${'\\n'} < ${ledger})"; fi
    if [ -e ${folder} ]; then echo "partial $(stat -c %s ${folder}/compressed 2>/dev/null || echo 0)"; fi
    echo "free $(df --output=avail -B1 ${dirname(image)} | tail -n 1)"
    for tool in ${neededTools(cluster.settings, host)}; do command -v "$tool" >/dev/null || echo "missing $tool"; done`
  const report = parseLabelledLines(stdout)
  const [bytes, modified] = report.first('file')?.split(' ') ?? []
  const partial = report.first('partial')
  return {
    host: host.name,
    path: image,
    file: bytes && modified ? { bytes: Number(bytes), modified } : undefined,
    hostLedger: parseLedger(report.first('ledger')),
    ledger: await readLedger(cluster),
    partialBytes: partial === undefined ? undefined : Number(partial),
    freeBytes: Number(report.first('free') ?? 0),
    missingTools: report.all('missing'),
  }
}

/** Whether the operator's machine fetches the image for the host. */
export function isRelayed({ IMAGE_RELAY }: Settings, { isLocal }: Pick<Host, 'isLocal'>): boolean {
  return IMAGE_RELAY && !isLocal
}

/** The programs that a host runs to get the image. */
export function neededTools(settings: Settings, host: Pick<Host, 'isLocal'>): string[] {
  const tools = ['sha256sum', 'flock', unpackers[settings.IMAGE_COMPRESSION]]
  return isRelayed(settings, host) ? tools : ['curl', ...tools]
}

/** A ledger that can't be read counts as none: the image is then looked at afresh. */
export function parseLedger(text: string | undefined): HostLedger | undefined {
  if (text === undefined) return undefined
  try {
    const ledger = JSON.parse(text) as Partial<HostLedger>
    return typeof ledger.modified === 'string' && typeof ledger.raw?.sha256 === 'string'
      ? (ledger as HostLedger)
      : undefined
  } catch {
    return undefined
  }
}
