/** Observes the disks of all machines of a host, and the folders of its pools. */
import {
  elementsAt,
  parseXml,
  textAt,
  virsh,
  virshBatch,
  type Host,
  type XmlNode,
} from '@talosmith/core'

/** The disks of all machines, of any owner. */
export interface MachineDisks {
  /** The machine by the path of each of its disks. */
  readonly machines: ReadonlyMap<string, string>
  /** The paths that have no backing file even if they are missing: raw disks, CD-ROMs, lower parts of a chain. */
  readonly optional: ReadonlySet<string>
  /** Disks and machines of which libvirt does not tell the paths. */
  readonly unreadable: readonly string[]
}

/** A file, block device or volume that a machine's XML names. */
interface Source {
  readonly machine: string
  readonly path: string | undefined
  readonly volume: { readonly pool: string; readonly name: string } | undefined
  readonly isOptional: boolean
}

/**
 * The disks of all machines, in their persistent and running definitions, the running one with its backing chain.
 * Machines are named by UUID: virsh takes a name that is a number for the ID of a running machine
 * (tools/virsh-util.c, virshLookupDomainInternal).
 */
export async function observeMachineDisks(host: Host): Promise<MachineDisks> {
  const ids = wordsOf(await virsh(host, 'list', '--all', '--uuid'))
  const dumps = await virshBatch(
    host,
    ids.flatMap((id) => [
      ['dumpxml', id],
      ['dumpxml', '--inactive', id],
    ]),
  )
  const sources = dumps.flatMap(({ stdout, error }) =>
    error === undefined ? findSources(stdout) : [],
  )
  const volumes = sources.flatMap(({ volume, ...rest }) =>
    volume === undefined ? [] : [{ ...rest, volume }],
  )
  const paths = await virshBatch(
    host,
    volumes.map(({ volume: { pool, name } }) => ['vol-path', '--pool', pool, name]),
  )
  const located = [
    ...sources,
    ...volumes.map((source, index) => ({
      ...source,
      path: paths[index]?.stdout.trim() || undefined,
    })),
  ].flatMap(({ path, ...rest }) => (path === undefined ? [] : [{ ...rest, path }]))
  const required = new Set(located.filter((one) => !one.isOptional).map(({ path }) => path))
  return {
    machines: new Map(located.map(({ path, machine }) => [path, machine])),
    optional: new Set(located.map(({ path }) => path).filter((path) => !required.has(path))),
    unreadable: [
      ...dumps.flatMap(({ error }, index) =>
        error === undefined || isGone(error) ? [] : `machine ${ids[index >> 1]}: ${error}`,
      ),
      ...volumes.flatMap(({ volume: { pool, name } }, index) =>
        paths[index]?.stdout.trim() ? [] : `volume ${name} of pool ${pool}`,
      ),
    ],
  }
}

/** The folders of all pools that are folders, also of inactive ones. */
export async function poolFolders(host: Host): Promise<string[]> {
  const names = (await virsh(host, 'pool-list', '--all', '--name')).split('\n')
  const dumps = await virshBatch(
    host,
    names
      .map((name) => name.trim())
      .filter(Boolean)
      .map((name) => ['pool-dumpxml', name]),
  )
  return dumps.flatMap(({ stdout, error }) => {
    const pool = error === undefined ? parseXml(stdout) : undefined
    const path = textAt(pool, 'pool', 'target', 'path')
    const isFolder = ['dir', 'fs', 'netfs'].includes(textAt(pool, 'pool', '@type') ?? '')
    return path === undefined || !isFolder ? [] : [path]
  })
}

/** The sources of a machine's disks, at any depth: the disk, its backing chain, its mirror. */
function findSources(xml: string): Source[] {
  const document = parseXml(xml)
  const machine = textAt(document, 'domain', 'name') ?? ''
  return elementsAt(document, 'domain', 'devices', 'disk').flatMap((disk) => {
    const hasChain =
      ['disk', 'lun'].includes(textAt(disk, '@device') ?? 'disk') &&
      textAt(disk, 'driver', '@type') !== 'raw'
    const own = new Set(elementsAt(disk, 'source'))
    return sourcesBelow(disk).flatMap((source): Source[] => {
      const path = textAt(source, '@file') ?? textAt(source, '@dev')
      const [pool, name] = [textAt(source, '@pool'), textAt(source, '@volume')]
      const volume = pool === undefined || name === undefined ? undefined : { pool, name }
      const isOptional = !hasChain || !own.has(source)
      return path?.startsWith('/') || volume !== undefined
        ? [{ machine, path, volume, isOptional }]
        : []
    })
  })
}

function sourcesBelow(node: XmlNode | undefined): XmlNode[] {
  if (node === undefined || typeof node === 'string') return []
  const own = Array.isArray(node) ? [] : elementsAt(node, 'source')
  return [...own, ...Object.values(node).flatMap(sourcesBelow)]
}

/** The machine was removed since it was listed. */
function isGone(error: string): boolean {
  return /failed to get domain|Domain not found/.test(error)
}

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter(Boolean)
}
