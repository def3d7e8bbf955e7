/** Observes the image on a host. */
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
  /** Size and modification time; undefined: no such file. */
  readonly file: { readonly bytes: number; readonly modified: string } | undefined
  /** The ledger beside the image on the host. */
  readonly hostLedger: HostLedger | undefined
  /** The entry on the operator's machine. */
  readonly ledger: LedgerEntry | undefined
  /** Bytes of an interrupted transfer; undefined: there is none. */
  readonly partialBytes: number | undefined
  readonly freeBytes: number
  /** Programs that a transfer needs and the host lacks. */
  readonly missingTools: readonly string[]
}

/** The program that decompresses each format. */
export const unpackers = { zst: 'zstd', xz: 'xz', gz: 'gzip', none: 'cat' } as const

/** The folder of an unfinished transfer, beside the image. */
export function partialFolder(image: string): string {
  return `${image}.partial`
}

/** Observes the image on a host with two commands, or one if IMAGE_PATH is set. */
export async function observeImage(host: Host, cluster: Cluster): Promise<ObservedImage> {
  const { IMAGE_PATH, STORAGE_POOL } = cluster.settings
  const pool = IMAGE_PATH === undefined ? await poolPath(host, STORAGE_POOL) : dirname(IMAGE_PATH)
  return observeImageIn(pool, host, cluster)
}

/** Observes the image in the folder `pool`. */
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

/** Whether the operator's machine downloads the image for the host. */
export function isRelayed({ IMAGE_RELAY }: Settings, { isLocal }: Pick<Host, 'isLocal'>): boolean {
  return IMAGE_RELAY && !isLocal
}

/** The programs that a host needs to get the image. */
export function neededTools(settings: Settings, host: Pick<Host, 'isLocal'>): string[] {
  const tools = ['sha256sum', 'flock', unpackers[settings.IMAGE_COMPRESSION]]
  return isRelayed(settings, host) ? tools : ['curl', ...tools]
}

/** Parses a ledger; an unreadable one counts as missing, so that the image is verified again. */
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
