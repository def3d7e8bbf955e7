/** Observes the images in a host's pool and what uses them. */
import {
  hostToolsMissing,
  parseLabelledLines,
  parseXml,
  poolPath,
  splitFields,
  virsh,
  virshBatch,
  type Cluster,
  type Host,
  type XmlNode,
} from '@talosmith/core'
import type { HostLedger } from './ledger.ts'
import { parseLedger } from './observe.ts'

/** A Talos image in a host's pool, or the files beside a removed one. */
export interface StoredImage {
  readonly path: string
  /** Undefined: the image does not exist, only files beside it. */
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

const suffix = '-nocloud-amd64.raw'

/** Observes the images in a host's pool and the disks of any owner that use them. */
export async function observeImages(host: Host, { settings }: Cluster): Promise<StoredImages> {
  const [pool, disks] = await Promise.all([
    poolPath(host, settings.STORAGE_POOL),
    observeDisks(host),
  ])
  const observed = await observeImagesIn(pool, host, disks.machines)
  return { ...observed, unreadable: [...observed.unreadable, ...disks.unreadable] }
}

interface Disks {
  /** The machine by the path of each of its disks. */
  readonly machines: ReadonlyMap<string, string>
  /** Volumes whose path libvirt does not know. */
  readonly unreadable: readonly string[]
}

/** The disks of all machines, in their persistent and running definitions. */
async function observeDisks(host: Host): Promise<Disks> {
  const names = (await virsh(host, 'list', '--all', '--name')).split('\n').filter(Boolean)
  const commands = names.flatMap((name) => [
    ['domblklist', name, '--details'],
    ['domblklist', name, '--details', '--inactive'],
  ])
  const answers = names.length === 0 ? [] : await virshBatch(host, commands)
  const nameAt = (index: number): string => names[Math.floor(index / 2)] ?? ''
  const files = answers.flatMap(({ stdout }, index) =>
    [...stdout.matchAll(/^\s*(?:file|block)\s+\S+\s+\S+\s+(\/.*)$/gm)].map(
      ([, path = '']): [string, string] => [path, nameAt(index)],
    ),
  )
  const withVolumes = answers.flatMap(({ stdout }, index) =>
    /^\s*volume\s/m.test(stdout) ? nameAt(index) : [],
  )
  const volumes = await observeVolumes(host, [...new Set(withVolumes)])
  return {
    machines: new Map([
      ...files,
      ...volumes.flatMap(({ path, machine }): [string, string][] =>
        path === undefined ? [] : [[path, machine]],
      ),
    ]),
    unreadable: volumes.flatMap(({ path, label }) => (path === undefined ? label : [])),
  }
}

/** Disks of type volume: the domain's XML has pool and volume, `virsh vol-path` the path. */
async function observeVolumes(
  host: Host,
  names: readonly string[],
): Promise<{ label: string; machine: string; path: string | undefined }[]> {
  if (names.length === 0) return []
  const commands = names.flatMap((name) => [
    ['dumpxml', name],
    ['dumpxml', '--inactive', name],
  ])
  const volumes = (await virshBatch(host, commands)).flatMap(({ stdout }, index) =>
    volumesIn(parseXml(stdout)).map(({ pool, volume }) => ({
      pool,
      volume,
      label: `volume ${volume} of pool ${pool}`,
      machine: names[Math.floor(index / 2)] ?? '',
    })),
  )
  if (volumes.length === 0) return []
  const paths = await virshBatch(
    host,
    volumes.map(({ pool, volume }) => ['vol-path', '--pool', pool, volume]),
  )
  return volumes.map(({ label, machine }, index) => {
    const path = paths[index]?.stdout.trim()
    return { label, machine, path: path === '' ? undefined : path }
  })
}

/** The volumes that a domain's XML names at any depth: disks, backing stores, mirrors. */
function volumesIn(node: XmlNode | undefined): { pool: string; volume: string }[] {
  if (node === undefined || typeof node === 'string') return []
  const { '@pool': pool, '@volume': volume } = node as Readonly<Record<string, XmlNode>>
  const own = typeof pool === 'string' && typeof volume === 'string' ? [{ pool, volume }] : []
  return [...own, ...Object.values(node).flatMap(volumesIn)]
}

/** Observes the images in the folder `pool`; `disks` maps the path of each disk, in any folder, to its machine. */
export async function observeImagesIn(
  pool: string,
  host: Host,
  disks: ReadonlyMap<string, string>,
): Promise<StoredImages> {
  // Files are compared by device and inode, because a backing file may be a symbolic link.
  const { stdout } = await host.$`
shopt -s nullglob
pool=${pool}
command -v qemu-img >/dev/null || { echo "missing qemu-img"; exit 0; }
for file in "$pool"/talos-*${suffix}{,.ledger.json,.partial}; do
  image=\${file%.ledger.json}; image=\${image%.partial}; echo "$image"
done | sort -u | while IFS= read -r image; do
  echo "image $(stat -Lc '%d:%i %s %b' -- "$image" 2>/dev/null || echo '- - 0') $([ -e "$image.partial" ] && echo partial || echo -) $image"
  [ ! -f "$image.ledger.json" ] || echo "ledger $(tr -d '\\n' < "$image.ledger.json")"
done
uses() {
  local link found
  if ! found=$(qemu-img info -U --backing-chain -- "$1" 2>/dev/null | sed -n 's/^image: //p'); then
    # Of a broken chain, count the file and its direct backing file.
    found=$(qemu-img info -U -- "$1" 2>/dev/null | sed -n -e 's/^image: //p' -e 's/^backing file: .*(actual path: \\(.*\\))$/\\1/p' -e 's/^backing file: \\([^(]*\\)$/\\1/p') || { echo "unreadable $1"; return 0; }
  fi
  while IFS= read -r link; do echo "uses $(stat -Lc %d:%i -- "$link" 2>/dev/null || echo -) $1"; done <<< "$found"
}
for disk in ${[...disks.keys()]}; do [ ! -e "$disk" ] || uses "$disk"; done
for file in "$pool"/*; do
  case $file in *${suffix}) continue ;; esac
  if [ -f "$file" ] && [ "$(head -c 3 -- "$file" | tr -d '\\0')" = QFI ]; then uses "$file"; fi
done`
  const report = parseLabelledLines(stdout)
  const missing = report.all('missing')
  if (missing.length > 0)
    throw hostToolsMissing(host.name, missing, 'it is needed to find out which images are in use')
  const users = report.all('uses').map((value) => {
    const [file = '', path = ''] = splitFields(value, 2)
    return { file, user: disks.get(path) ?? path }
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
  const unreadable = report.all('unreadable')
  return { host: host.name, images, unreadable }
}
