/** Finds everything on a host that Talosmith created, for all clusters. */
import { posix } from 'node:path'
import {
  clusterOn,
  onStorage,
  parseLabelledLines,
  poolFiles,
  splitFields,
  uploadSuffix,
  type Cluster,
  type Host,
} from '@talosmith/core'
import { observeHost } from './observe.ts'
import { partialSuffix } from './observed-files.ts'
import { headerBytes, readQcow2 } from './qcow2.ts'
import { descriptorSector, readSeedMarker } from './seed-iso.ts'

/** A machine or file on a host that Talosmith created, of any cluster. */
export interface OwnedResource {
  readonly kind: 'machine' | 'disk' | 'seed' | 'leftover'
  /** A machine's name, or a file's path. */
  readonly name: string
  /** The cluster it belongs to, by its metadata or its name. */
  readonly cluster: string | undefined
  /** Whether a machine of any owner uses it. */
  readonly isUsed: boolean
  /** The pool that it is a volume of, where this user may not remove it from the folder; undefined: it may, or it is a machine. */
  readonly pool?: string
  /** A machine's state as libvirt names it: `running`, `shut off` ... */
  readonly state?: string
  /** The libvirt URI that a machine was created through. */
  readonly madeThrough?: string | undefined
}

/** Domains with our metadata, disks backed by a Talos image, seed ISOs with our marker, and incomplete files. */
export async function observeOwnedResources(
  host: Host,
  cluster: Cluster,
  index = 0,
): Promise<OwnedResource[]> {
  const { domains, files, isPoolWritable } = await observeHost(host, cluster, index)
  const poolFolder = folderOf(files.disk({ name: '' }))
  const used = new Set(
    domains.flatMap(({ machine, own, disks, attached }) => [
      ...[machine.disk, machine.seed, own?.disk, own?.seed],
      ...[...disks, ...attached].map(({ source }) => source),
    ]),
  )
  const folders = [...new Set([files.disk({ name: '' }), files.seed({ name: '' })].map(folderOf))]
  // A cluster of the same name that another operator created is known there, not here.
  const machines = domains.flatMap(
    ({ name, owner, strangerBecause, live, madeThrough }): OwnedResource[] =>
      owner === undefined || strangerBecause !== undefined
        ? []
        : [{ kind: 'machine', name, cluster: owner, isUsed: true, state: live.state, madeThrough }],
  )
  const places = folders.map((folder) => ({ what: 'a folder of disks', folder }))
  const pool = clusterOn(cluster, index).settings.STORAGE_POOL
  const { stdout } = await onStorage(
    host,
    places,
    (options) => host.$({ ...options, ...poolFiles(pool) })`
shopt -s nullglob
eval "$POOL_FILES"
for folder in ${folders}; do
  mapfile -t listed < <(files_in "$folder" || true)
  for file in "\${listed[@]}"; do
    case $file in
      *${partialSuffix}) echo "leftover - $file" ;;
      # An image's next transfer uploads it again.
      */talos-*${uploadSuffix}) ;;
      *${uploadSuffix}) for part in "\${file%"$pool_marker"}" "$file"; do [ ! -e "$part" ] || echo "leftover - $part"; done ;;
      *.qcow2) [ ! -f "$file" ] || echo "disk $(peek 0 ${headerBytes} "$file" | base64 -w0) $file" ;;
      *.iso) [ ! -f "$file" ] || echo "seed $(peek ${descriptorSector * 2048} 2048 "$file" | base64 -w0) $file" ;;
    esac
  done
done`,
  )
  const found = parseLabelledLines(stdout).lines.flatMap(
    ({ label: kind, value }): OwnedResource[] => {
      const [head = '', path = ''] = splitFields(value, 2)
      const bytes = Buffer.from(head, 'base64')
      const isVolume = !isPoolWritable && folderOf(path) === poolFolder
      const place = {
        isUsed: used.has(path),
        ...(isVolume && { pool }),
      }
      if (kind === 'disk')
        return isOverlay(bytes) ? [{ kind, name: path, cluster: clusterIn(path), ...place }] : []
      if (kind === 'leftover') return [{ kind, name: path, cluster: clusterIn(path), ...place }]
      const marker = readSeedMarker(bytes)
      return marker === undefined
        ? []
        : [{ kind: 'seed', name: path, cluster: marker.cluster, ...place }]
    },
  )
  return [...machines, ...found]
}

/** Whether a disk is an overlay of an image with our naming. */
function isOverlay(header: Uint8Array): boolean {
  return /\/talos-v\S+-nocloud-amd64\.raw$/.test(readQcow2(header)?.backing ?? '')
}

function clusterIn(path: string): string | undefined {
  return /^(.+)-(?:cp|w)\d+(?:-seed\.iso|\.qcow2)/.exec(posix.basename(path))?.[1]
}

function folderOf(path: string): string {
  return posix.dirname(path)
}
