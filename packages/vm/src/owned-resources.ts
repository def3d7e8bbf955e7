/** Finds everything on a host that Talosmith created, for all clusters. */
import { posix } from 'node:path'
import {
  onStorage,
  parseLabelledLines,
  splitFields,
  type Cluster,
  type Host,
} from '@talosmith/core'
import { observeHost } from './observe.ts'
import { partialSuffix } from './observe-files.ts'
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
  const { domains, files } = await observeHost(host, cluster, index)
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
  const { stdout } = await onStorage(
    host,
    places,
    (options) => host.$(options)`
shopt -s nullglob
# The rest of a name with a newline would be taken for another file.
named_on_one_line() { [[ $file != *[[:cntrl:]]* ]]; }
for folder in ${folders}; do
  for file in "$folder"/*.qcow2; do
    named_on_one_line || continue
    [ ! -f "$file" ] || echo "disk $(head -c ${headerBytes} -- "$file" | base64 -w0) $file"
  done
  for file in "$folder"/*.iso; do
    named_on_one_line || continue
    [ ! -f "$file" ] || echo "seed $(dd if="$file" bs=2048 skip=${descriptorSector} count=1 status=none | base64 -w0) $file"
  done
  for file in "$folder"/*${partialSuffix}; do
    if named_on_one_line; then echo "leftover - $file"; fi
  done
done`,
  )
  const found = parseLabelledLines(stdout).lines.flatMap(
    ({ label: kind, value }): OwnedResource[] => {
      const [head = '', path = ''] = splitFields(value, 2)
      const bytes = Buffer.from(head, 'base64')
      const isUsed = used.has(path)
      if (kind === 'disk')
        return isOverlay(bytes) ? [{ kind, name: path, cluster: clusterIn(path), isUsed }] : []
      if (kind === 'leftover') return [{ kind, name: path, cluster: clusterIn(path), isUsed }]
      const marker = readSeedMarker(bytes)
      return marker === undefined
        ? []
        : [{ kind: 'seed', name: path, cluster: marker.cluster, isUsed }]
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
