/** The folder of a libvirt storage pool. */
import { codes } from '../codes.ts'
import { Problem } from '../problem.ts'
import { parseXml, textAt } from '../xml.ts'
import type { Host } from './host.ts'
import { virshBatch, type Virsh } from './virsh.ts'

/** Types of pools that are folders on the host, into which files can be written. */
const folderTypes = ['dir', 'fs', 'netfs']

/**
 * The folder of an active pool. Throws POOL_NOT_FOUND, POOL_INACTIVE, or POOL_NOT_A_FOLDER, for example for a
 * pool of type logical or disk.
 */
export async function poolPath(
  host: Host,
  pool: string,
  batch: Virsh['virshBatch'] = virshBatch,
): Promise<string> {
  const [dump, all, active] = await batch(host, [
    ['pool-dumpxml', pool],
    ['pool-list', '--all', '--name'],
    ['pool-list', '--name'],
  ])
  if (dump?.error !== undefined || dump === undefined)
    throw new Problem(codes.poolNotFound, `there is no storage pool ${pool} on ${host.name}`, {
      because: dump?.error,
      hint: notFoundHint(names(all?.stdout), pool),
    })
  if (!names(active?.stdout).includes(pool))
    throw new Problem(
      codes.poolInactive,
      `the storage pool ${pool} on ${host.name} is not active`,
      {
        hint: `on ${host.name}: virsh pool-start ${pool} && virsh pool-autostart ${pool}`,
      },
    )
  const { type, path } = parsePool(dump.stdout)
  if (!folderTypes.includes(type) || path === undefined)
    throw new Problem(
      codes.poolNotAFolder,
      `the storage pool ${pool} on ${host.name} is of type ${type}`,
      {
        hint: `set STORAGE_POOL to a pool of type dir; virsh pool-list --all --details lists them`,
      },
    )
  return path
}

function parsePool(xml: string): { type: string; path: string | undefined } {
  const document = parseXml(xml)
  return {
    type: textAt(document, 'pool', '@type') ?? 'unknown',
    path: textAt(document, 'pool', 'target', 'path'),
  }
}

function names(list = ''): string[] {
  return list
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
}

function notFoundHint(found: readonly string[], pool: string): string {
  if (found.length > 0)
    return `set STORAGE_POOL to one of: ${found.join(', ')} (virsh pool-list --all)`
  return `create one: virsh pool-define-as ${pool} dir --target /var/lib/libvirt/images && virsh pool-start ${pool} && virsh pool-autostart ${pool}`
}
