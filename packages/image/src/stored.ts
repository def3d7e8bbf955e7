/** Observes the images in a host's pool and what uses them. */
import { dirname } from 'node:path'
import {
  hostToolsMissing,
  minute,
  onStorage,
  parseLabelledLines,
  poolFiles,
  poolPath,
  splitFields,
  type Cluster,
  type Host,
} from '@talosmith/core'
import type { HostLedger } from './ledger.ts'
import { observeMachineDisks, poolFolders, type MachineDisks } from './machine-disks.ts'
import { parseLedger } from './observe.ts'

/** A Talos image in a host's pool, or the files beside a removed one. */
export interface StoredImage {
  readonly path: string
  /** Undefined: the image does not exist, only files beside it; or it was uploaded in part. */
  readonly bytes: number | undefined
  /** The space that it uses on the host. */
  readonly usedBytes: number
  /** Undefined: not known to be downloaded by Talosmith. */
  readonly ledger: HostLedger | undefined
  /** Whether an unfinished or interrupted transfer is beside it. */
  readonly hasPartial: boolean
  /** Machines, and disks without a machine, that use it directly or as a backing file. */
  readonly usedBy: readonly string[]
}

/** The images of one host. */
export interface StoredImages {
  readonly host: string
  readonly images: readonly StoredImage[]
  /** Disks whose backing file cannot be read: they may use any image. */
  readonly unreadable: readonly string[]
}

/** The backing chain of every disk is read. */
const listMs = 5 * minute
const suffix = '-nocloud-amd64.raw'

/** Observes the images in a host's pool and the disks of any owner, in any folder, that use them. */
export async function observeImages(host: Host, { settings }: Cluster): Promise<StoredImages> {
  const [pool, folders, disks] = await Promise.all([
    poolPath(host, settings.STORAGE_POOL),
    poolFolders(host),
    observeMachineDisks(host),
  ])
  const observed = await observeImagesIn(pool, host, {
    ...disks,
    folders,
    poolName: settings.STORAGE_POOL,
  })
  return { ...observed, unreadable: [...disks.unreadable, ...observed.unreadable] }
}

/** Where disks may be that use an image of the pool. */
interface DiskSearch {
  /** The machine by the path of each of its disks, in any folder. */
  readonly machines?: MachineDisks['machines']
  /** The paths that may be missing; any other missing disk may use any image. */
  readonly optional?: MachineDisks['optional']
  /** Folders besides the pool's, whose disks count also without a machine. */
  readonly folders?: readonly string[]
  /** The name of the pool whose folder it is. */
  readonly poolName?: string
}

/** Observes the images in the folder `pool`. */
export async function observeImagesIn(
  pool: string,
  host: Host,
  {
    machines = new Map(),
    optional = new Set(),
    folders = [],
    poolName = 'default',
  }: DiskSearch = {},
): Promise<StoredImages> {
  // Files are compared by device and inode, because a backing file may be a symbolic link.
  const all = [...new Set([pool, ...folders])]
  const places = [
    ...all.map((folder) => ({ what: 'the pool', folder })),
    ...[...machines.keys()].map((path) => ({ what: 'a folder of disks', folder: dirname(path) })),
  ]
  const { stdout } = await onStorage(
    host,
    places,
    (options) => host.$({ ...options, ...poolFiles(poolName) })`
shopt -s nullglob
eval "$POOL_FILES"
pool=${pool}
command -v qemu-img >/dev/null || { echo "missing qemu-img"; exit 0; }
mapfile -t listed < <(files_in "$pool" || true)
for file in "\${listed[@]}"; do
  case \${file##*/} in talos-*${suffix} | talos-*${suffix}.ledger.json | talos-*${suffix}.partial | talos-*${suffix}"$pool_marker") ;; *) continue ;; esac
  image=\${file%.ledger.json}; image=\${image%.partial}; echo "\${image%"$pool_marker"}"
done | sort -u | while IFS= read -r image; do
  part=-
  if [ -e "$image.partial" ] || [ -e "$image$pool_marker" ]; then part=partial; fi
  format='%d:%i %s %b'
  # A complete image may be beside a marker, and in use.
  is_complete "$image" || format='%d:%i - %b'
  echo "image $(stat -Lc "$format" -- "$image" 2>/dev/null || echo '- - 0') $part $image"
  [ ! -r "$image.ledger.json" ] || echo "ledger $(tr -d '\\n' < "$image.ledger.json")"
done
inspect() { qemu-img info -U "$@" 2>/dev/null; }
# The existing files of a broken chain. Where it ends is known only if the missing file is a raw one.
follow() {
  local link=$1 report
  for _ in {1..200}; do
    report=$(inspect -- "$link") || break
    echo "$link"
    link=$(sed -n -e 's/^backing file: .*(actual path: \\(.*\\))$/\\1/p' -e t -e 's/^backing file: //p' <<< "$report")
    if [ -z "$link" ]; then return; fi
    if grep -qx 'backing file format: raw' <<< "$report"; then echo "$link"; return; fi
  done
  echo unknown
}
uses() {
  local link links
  links=$(pool_chain "$1") || links=$(follow "$1")
  while IFS= read -r link; do
    case $link in
      /*) echo "uses $(stat -Lc %d:%i -- "$link" 2>/dev/null || echo -) $1" ;;
      *) echo "unreadable $1" ;;
    esac
  done <<< "$links"
}
declare -A looked=()
for disk in ${[...machines.keys()]}; do
  looked[$disk]=1
  if [ -e "$disk" ]; then uses "$disk"; else echo "absent $disk"; fi
done
for folder in ${all}; do
  # Disks without a machine may be in a folder that this user may not list.
  list=$(files_in "$folder") || { echo "unreadable $folder"; continue; }
  while IFS= read -r file; do
    case $file in *${suffix}) continue ;; esac
    if [ -n "$file" ] && [ -z "\${looked[$file]-}" ] && [ -f "$file" ] && [ "$(peek 0 3 "$file" 2>/dev/null | tr -d '\\0')" = QFI ]; then uses "$file"; fi
  done <<< "$list"
done`,
    { withinMs: listMs },
  )
  const report = parseLabelledLines(stdout)
  const missing = report.all('missing')
  if (missing.length > 0)
    throw hostToolsMissing(host.name, missing, 'it is needed to find out which images are in use')
  const users = report.all('uses').map((value) => {
    const [file = '', path = ''] = splitFields(value, 2)
    return { file, user: machines.get(path) ?? path }
  })
  const images = report.lines.flatMap(({ label, value }, index): StoredImage[] => {
    if (label !== 'image') return []
    const [file, bytes, blocks, partial, path = ''] = splitFields(value, 5)
    const next = report.lines[index + 1]
    const using = file === '-' ? [] : users.filter((one) => one.file === file)
    return [
      {
        path,
        bytes: bytes === '-' ? undefined : Number(bytes),
        usedBytes: Number(blocks) * 512,
        ledger: parseLedger(next?.label === 'ledger' ? next.value : undefined),
        hasPartial: partial === 'partial',
        usedBy: [...new Set(using.map(({ user }) => user))].sort(),
      },
    ]
  })
  const absent = report
    .all('absent')
    .filter((path) => !optional.has(path))
    .map((path) => `${path} of machine ${machines.get(path)}: no such file`)
  const unreadable = [...new Set([...report.all('unreadable'), ...absent])]
  return { host: host.name, images, unreadable }
}
