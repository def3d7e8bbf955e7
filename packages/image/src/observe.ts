/** Observes the image on a host. */
import { dirname, posix } from 'node:path'
import {
  hadDisk,
  hostFiles,
  isEmptied,
  onStorage,
  parseLabelledLines,
  parseXml,
  poolFiles,
  poolPath,
  readDomainMetadata,
  readFreeSpace,
  splitFields,
  virsh,
  virshBatch,
  type Cluster,
  type Host,
  type Place,
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
  /** The folder of the transfer, if it is not beside the image. */
  readonly transferFolder?: { readonly path: string; readonly freeBytes: number } | undefined
  /** Why the image's folder cannot be read; undefined: it can. */
  readonly folderError: string | undefined
  /** Programs that a transfer needs and the host lacks. */
  readonly missingTools: readonly string[]
  /** The disks that the cluster's machines have in the image's folder, if they are lost: it is empty or not mounted. */
  readonly lostDisks: readonly string[]
}

/** The program that decompresses each format. */
export const unpackers = { zst: 'zstd', xz: 'xz', gz: 'gzip', none: 'cat' } as const

/** Observes the image on a host; with further commands where it is to be downloaded into a pool. */
export async function observeImage(host: Host, cluster: Cluster): Promise<ObservedImage> {
  const { IMAGE_PATH, STORAGE_POOL } = cluster.settings
  const pool = IMAGE_PATH === undefined ? await poolPath(host, STORAGE_POOL) : dirname(IMAGE_PATH)
  const observed = await observeImageIn(pool, host, cluster)
  if (IMAGE_PATH !== undefined || observed.file !== undefined) return observed
  return { ...observed, lostDisks: await observeLostDisks(pool, host, cluster) }
}

/** The disks that the cluster's machines have in a folder, if it has none of their files: it is not mounted. */
async function observeLostDisks(pool: string, host: Host, cluster: Cluster): Promise<string[]> {
  const [ids, running] = await Promise.all([listMachines(host, '--all'), listMachines(host)])
  const dumps = await virshBatch(
    host,
    ids.map((id) => ['dumpxml', '--inactive', id]),
  )
  const ours = dumps
    .flatMap(({ stdout, error }, index) => {
      // One that was removed in the meantime has no disk.
      const metadata = error === undefined ? readDomainMetadata(parseXml(stdout)) : undefined
      return metadata === undefined
        ? []
        : [{ ...metadata, isOff: !running.includes(ids[index] ?? '') }]
    })
    .filter((one) => one.cluster === cluster.name)
  const here = (path: string): boolean => posix.dirname(path) === pool
  const disks = ours
    .flatMap(({ disk, diskNote, isOff }) => (hadDisk(diskNote, isOff) ? [disk] : []))
    .filter(here)
  if (disks.length === 0) return []
  const seeds = ours.map(({ seed }) => seed).filter(here)
  const { stdout } = await onStorage(
    host,
    [imagePlace(cluster, disks[0] ?? '')],
    (options) => host.$({ ...options, ...poolFiles(cluster.settings.STORAGE_POOL) })`
shopt -s nullglob
cd -- ${pool} 2>/dev/null || exit 0
eval "$POOL_FILES"
for file in ${disks} ${seeds}; do [ ! -e "$file" ] || echo "$file"; done
files_in ${pool} | while IFS= read -r file; do
  case \${file##*/} in ${cluster.name}-cp[0-9]*.qcow2 | ${cluster.name}-w[0-9]*.qcow2 | ${cluster.name}-cp[0-9]*-seed.iso | ${cluster.name}-w[0-9]*-seed.iso) echo "$file" ;; esac
done`,
  )
  const left = stdout.split('\n').filter(Boolean)
  const lost = disks.filter((path) => !left.includes(path))
  // It is looked for only where the image is missing.
  return isEmptied(pool, lost, { left, image: undefined }) ? lost : []
}

/** The UUIDs of the machines that are not off, or of all. */
async function listMachines(host: Host, ...which: readonly '--all'[]): Promise<string[]> {
  return (await virsh(host, 'list', ...which, '--uuid')).split(/\s+/).filter(Boolean)
}

/** The folder of an image, or of another file of the pool. */
export function imagePlace({ settings }: Pick<Cluster, 'settings'>, image: string): Place {
  const { IMAGE_PATH, STORAGE_POOL } = settings
  const what = IMAGE_PATH === image ? 'the folder of IMAGE_PATH' : `the pool ${STORAGE_POOL}`
  return { what, folder: dirname(image) }
}

/** Observes the image in the folder `pool`. */
export async function observeImageIn(
  pool: string,
  host: Host,
  cluster: Cluster,
): Promise<ObservedImage> {
  const { image, ledger } = hostFiles(cluster, pool)
  const { stdout } = await onStorage(
    host,
    [imagePlace(cluster, image)],
    (options) => host.$({ ...options, ...poolFiles(cluster.settings.STORAGE_POOL) })`
    eval "$POOL_FILES"
    folder=$(partial_folder ${image})
    if is_complete ${image}; then stat -L -c ${'file %s %.9Y'} ${image} 2>/dev/null || true; fi
    if [ -r ${ledger} ]; then echo "ledger $(tr -d ${'\\n'} < ${ledger})"; fi
    if [ -e "$folder" ]; then echo "partial $(stat -c %s "$folder/compressed" 2>/dev/null || echo 0)"; fi
    echo "free $(df --output=avail -B1 -- ${`${dirname(image)}/.`} 2>&1 | tail -n 1)"
    if [ "\${folder%/*}" != ${dirname(image)} ]; then
      above=$folder
      until [ -d "$above" ]; do above=$(dirname -- "$above"); done
      echo "transfer $(df --output=avail -B1 -- "$above/." 2>/dev/null | tail -n 1 | tr -d ' ') $folder"
    fi
    for tool in ${neededTools(cluster.settings, host)}; do command -v "$tool" >/dev/null || echo "missing $tool"; done`,
  )
  const report = parseLabelledLines(stdout)
  const free = readFreeSpace(report.first('free'))
  const [bytes, modified] = report.first('file')?.split(' ') ?? []
  const partial = report.first('partial')
  const [transferFree = '', transferPath = ''] = splitFields(report.first('transfer') ?? '', 2)
  return {
    host: host.name,
    path: image,
    file: bytes && modified ? { bytes: Number(bytes), modified } : undefined,
    hostLedger: parseLedger(report.first('ledger')),
    ledger: await readLedger(cluster),
    partialBytes: partial === undefined ? undefined : Number(partial),
    freeBytes: free.bytes,
    transferFolder:
      transferFree === '' ? undefined : { path: transferPath, freeBytes: Number(transferFree) },
    folderError: free.error,
    missingTools: report.all('missing'),
    lostDisks: [],
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
