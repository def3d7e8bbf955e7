import { hostFiles, poolPath, type Cluster, type Host } from '@talosmith/core'
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
  /** Bytes of a broken transfer that can be carried on. */
  readonly partialBytes: number
  readonly freeBytes: number
  /** Programs that are missing on the host. */
  readonly missingTools: readonly string[]
}

/** What unpacks each compression. */
export const decompressor = { zst: 'zstd', xz: 'xz', gz: 'gzip', none: 'cat' } as const

/** The folder of a transfer under way, beside the image. */
export function partialFolder(image: string): string {
  return `${image}.partial`
}

/** Looks at the image on a host: two commands. */
export async function observeImage(host: Host, cluster: Cluster): Promise<ObservedImage> {
  const { image, ledger } = hostFiles(cluster, await poolPath(host, cluster.settings.STORAGE_POOL))
  const tools = ['curl', 'sha256sum', decompressor[cluster.settings.IMAGE_COMPRESSION]]
  const { stdout } = await host.$`
    stat -L -c ${'file %s %.9Y'} ${image} 2>/dev/null || true
    stat -c ${'partial %s'} ${`${partialFolder(image)}/compressed`} 2>/dev/null || true
    echo "free $(df --output=avail -B1 ${image.slice(0, image.lastIndexOf('/')) || '/'} | tail -n 1)"
    for tool in ${tools}; do command -v "$tool" >/dev/null || echo "missing $tool"; done
    if [ -e ${ledger} ]; then echo "ledger $(tr -d '\\n' < ${ledger})"; fi`
  const lines = stdout.split('\n').map((line) => line.trim().split(' '))
  const find = (label: string): string[] | undefined =>
    lines.find(([first]) => first === label)?.slice(1)
  const [bytes, modified] = find('file') ?? []
  const text = find('ledger')?.join(' ')
  return {
    host: host.name,
    path: image,
    file:
      bytes === undefined || modified === undefined
        ? undefined
        : { bytes: Number(bytes), modified },
    hostLedger: text === undefined ? undefined : parseLedger(text),
    ledger: await readLedger(cluster),
    partialBytes: Number(find('partial')?.[0] ?? 0),
    freeBytes: Number(find('free')?.[0] ?? 0),
    missingTools: lines.filter(([first]) => first === 'missing').map(([, tool = '']) => tool),
  }
}

/** A ledger that can't be read counts as none: the image is then looked at afresh. */
function parseLedger(text: string): HostLedger | undefined {
  try {
    return JSON.parse(text) as HostLedger
  } catch {
    return undefined
  }
}
