import { posix } from 'node:path'
import { parseLabelledLines, splitFields, type Cluster, type Host } from '@talosmith/core'
import { observeHost } from './observe.ts'
import { partialSuffix } from './observe-files.ts'
import { headerBytes, readQcow2 } from './qcow2.ts'
import { descriptorSector, readSeedMarker } from './seed-iso.ts'

/** Something on a host that is ours, whichever cluster's. */
export interface OwnedResource {
  readonly kind: 'machine' | 'disk' | 'seed' | 'leftover'
  /** A machine's name, or a file's path. */
  readonly name: string
  /** Whose it says, or its name says, that it is. */
  readonly cluster: string | undefined
  /** Whether a machine, ours or not, has it. */
  readonly isUsed: boolean
}

/** Everything of ours on a host: domains by their metadata, disks by what they back onto, ISOs by their mark. */
export async function observeOwnedResources(
  host: Host,
  cluster: Cluster,
  index = 0,
): Promise<OwnedResource[]> {
  const { domains, files } = await observeHost(host, cluster, index)
  const used = new Set(
    domains.flatMap(({ machine, own }) => [machine.disk, machine.seed, own?.disk, own?.seed]),
  )
  const folders = [...new Set([files.disk({ name: '' }), files.seed({ name: '' })].map(folderOf))]
  const machines = domains.flatMap(({ name, owner }): OwnedResource[] =>
    owner === undefined ? [] : [{ kind: 'machine', name, cluster: owner, isUsed: true }],
  )
  const { stdout } = await host.$`
shopt -s nullglob
for folder in ${folders}; do
  for file in "$folder"/*.qcow2; do
    [ ! -f "$file" ] || echo "disk $(head -c ${headerBytes} -- "$file" | base64 -w0) $file"
  done
  for file in "$folder"/*.iso; do
    [ ! -f "$file" ] || echo "seed $(dd if="$file" bs=2048 skip=${descriptorSector} count=1 status=none | base64 -w0) $file"
  done
  for file in "$folder"/*${partialSuffix}; do echo "leftover - $file"; done
done`
  const found = parseLabelledLines(stdout).lines.flatMap(
    ({ label: kind, value }): OwnedResource[] => {
      const [head = '', path = ''] = splitFields(value, 2)
      const bytes = Buffer.from(head, 'base64')
      const isUsed = used.has(path)
      if (kind === 'disk')
        return isOverlay(bytes) ? [{ kind, name: path, cluster: clusterIn(path), isUsed }] : []
      if (kind === 'leftover') return [{ kind, name: path, cluster: clusterIn(path), isUsed }]
      const mark = readSeedMarker(bytes)
      return mark === undefined ? [] : [{ kind: 'seed', name: path, cluster: mark.cluster, isUsed }]
    },
  )
  return [...machines, ...found]
}

/** Whether a disk backs onto an image as we name them. */
function isOverlay(header: Uint8Array): boolean {
  return /\/talos-v\S+-nocloud-amd64\.raw$/.test(readQcow2(header)?.backing ?? '')
}

function clusterIn(path: string): string | undefined {
  return /^(.+)-(?:cp|w)\d+(?:-seed\.iso|\.qcow2)/.exec(posix.basename(path))?.[1]
}

function folderOf(path: string): string {
  return posix.dirname(path)
}
