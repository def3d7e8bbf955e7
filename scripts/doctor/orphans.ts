/** Orphans: what Talosmith created on hosts and in generated/, and no env file needs any more. */
import { readdir } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { listClusters, quote, type Cluster, type Host } from '@talosmith/core'
import { observeOwnedResources, type OwnedResource } from '@talosmith/vm'

/** Something that Talosmith created and no env file needs any more. */
export interface Orphan {
  readonly kind: OwnedResource['kind'] | 'generated'
  /** A machine's name, or a path. */
  readonly name: string
  readonly host: string
  /** The cluster that it is labelled with; undefined: it has no label. */
  readonly cluster: string | undefined
  readonly why: string
  /** The command that removes it, to be typed on `host`; null: the reason is `keep`. */
  readonly remove: string | null
  /** Why it should not simply be removed. */
  readonly keep?: string
  /** Who may need it. */
  readonly owner?: string
}

/** The machines in env files, by cluster; undefined: the file can't be read. */
export type KnownClusters = ReadonlyMap<string, ReadonlySet<string> | undefined>

/** The cluster of each env file; a file that can't be read counts for the cluster of the file's name. */
export async function knownClusters(
  selected: Cluster,
  warn: (text: string) => void,
): Promise<KnownClusters> {
  const machines = ({ nodes }: Cluster) => new Set(nodes.map(({ name }) => name))
  const known = new Map<string, ReadonlySet<string> | undefined>([
    [selected.name, machines(selected)],
  ])
  for (const { file, cluster, error } of await listClusters(selected.root)) {
    if (error !== undefined)
      warn(`env/${file}.env can't be read: assuming that its cluster is named ${file}`)
    const name = cluster?.name ?? file
    if (!known.has(name)) known.set(name, cluster && machines(cluster))
  }
  return known
}

/** Searches all hosts of the selected cluster, and generated/. */
export async function findOrphans(
  selected: Cluster,
  hosts: readonly Host[],
  known: KnownClusters,
): Promise<Orphan[]> {
  const parent = dirname(selected.generated)
  const [folders, ...ofHosts] = await Promise.all([
    readdir(parent, { withFileTypes: true }).catch(() => []),
    ...hosts.map(async (host, index) => ({
      host: host.name,
      observed: await observeOwnedResources(host, selected, index),
    })),
  ])
  const orphaned = folders.filter((entry) => entry.isDirectory() && !known.has(entry.name))
  return [
    ...ofHosts.flatMap(({ host, observed }) => planOrphans(host, observed, known)),
    ...(await Promise.all(
      orphaned.map(async ({ name }) =>
        planFolder(join(parent, name), await filesBelow(join(parent, name))),
      ),
    )),
  ]
}

/** The paths of all files below a folder, from it; undefined: it could not be read. */
async function filesBelow(folder: string): Promise<readonly string[] | undefined> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
  } catch {
    return undefined
  }
}

const control = /[\0-\x1f\x7f-\x9f\u2028-\u202e]/

/** Files that are of no use without their cluster, and hold no secrets. */
const disposable =
  /^(?:runs\/[^/]+\.jsonl|bundles\/[^/]+\.tar\.(?:zst|gz)|images\.json|hosts\.json|destroyed\.json|work\/[^/]+\/\.keep)$/

/** The folder of a cluster without an env file, in generated/. Pure. */
export function planFolder(path: string, files: readonly string[] | undefined): Orphan {
  const cluster = basename(path)
  const orphan = {
    ...({ kind: 'generated', name: path, host: 'this machine', cluster } as const),
    why: `no env file for cluster ${shown(cluster)}`,
  }
  const precious = files?.filter((name) => !disposable.test(name)).sort()
  if (precious !== undefined && precious.length === 0)
    return { ...orphan, remove: `rm -r -- ${word(path)}` }
  const [some, count] = [precious?.slice(0, 3).map(shown).join(', '), precious?.length ?? 0]
  const what =
    some === undefined
      ? 'it cannot be read'
      : `it holds ${some}${count > 3 ? ` and ${count - 3} more files` : ''}`
  return {
    ...orphan,
    remove: null,
    keep: `${what}: secrets and backups, without which machines and data of ${shown(cluster)} are lost. Write env/${shown(cluster)}.env again to manage the cluster, or move the folder to a safe place`,
  }
}

/** Which of the observed items are orphans. Pure. */
export function planOrphans(
  host: string,
  observed: readonly OwnedResource[],
  known: KnownClusters,
): Orphan[] {
  return observed.flatMap((item): Orphan[] => {
    const { kind, name, cluster, state, madeThrough, pool } = item
    const why = whyOrphan(item, known)
    if (why === undefined) return []
    const orphan = { kind, name, host, cluster, why }
    const isOurs = cluster !== undefined && known.has(cluster)
    const through =
      madeThrough === undefined ? '' : `, which was created through ${shown(madeThrough)}`
    const owner = isOurs
      ? {}
      : {
          owner:
            cluster === undefined
              ? 'another operator, or a machine that was undefined by hand; ask the users of this host first'
              : `another operator or another checkout of Talosmith may manage cluster ${shown(cluster)}${through}; ask the users of this host first`,
        }
    if (kind !== 'machine') return [{ ...orphan, remove: removalOf(kind, name, pool), ...owner }]
    if (state !== 'shut off') {
      const first = isOurs
        ? 'follow "Fewer machines" in docs/operations.md, which powers it off'
        : 'its user has to shut it down'
      const keep = `it is ${state ?? 'in an unknown state'}: ${first}; then run this command again`
      return [{ ...orphan, remove: null, keep, ...owner }]
    }
    return [{ ...orphan, remove: removalOf(kind, name, pool), ...owner }]
  })
}

function removalOf(kind: OwnedResource['kind'], name: string, pool: string | undefined): string {
  const path = word(name)
  if (kind === 'machine')
    return `virsh -c qemu:///system undefine --domain ${path} --nvram --managed-save --snapshots-metadata --checkpoints-metadata`
  // libvirt knows only the volumes that it created, until it refreshes the pool.
  if (pool !== undefined)
    return `virsh -c qemu:///system pool-refresh ${word(pool)} && virsh -c qemu:///system vol-delete --pool ${word(pool)} --vol ${word(basename(name))}`
  // An incomplete seed is a folder.
  return kind === 'leftover' ? `rm -r -- ${path}` : `rm -- ${path}`
}

/** A name as a word of a command to be typed into bash. */
function word(name: string): string {
  if (!control.test(name)) return quote(name)
  const escaped = name
    .replaceAll(/['\\]/g, String.raw`\$&`)
    .replaceAll(
      /[\0-\x1f\x7f-\x9f]/g,
      (char) => String.raw`\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
  return `$'${escaped}'`
}

/** A name as it is printed: one with control characters could change what a terminal shows. */
function shown(name: string): string {
  return control.test(name) ? JSON.stringify(name) : name
}

function whyOrphan(
  { kind, name, cluster, isUsed }: OwnedResource,
  known: KnownClusters,
): string | undefined {
  const isKnown = cluster !== undefined && known.has(cluster)
  // A file that a machine uses goes with the machine; partial files are removed by the next run of their cluster.
  if ((isUsed && kind !== 'machine') || (isKnown && kind === 'leftover')) return undefined
  if (!isKnown && cluster !== undefined) return `no env file for cluster ${shown(cluster)}`
  const desired = cluster === undefined ? undefined : known.get(cluster)
  if (kind !== 'machine') {
    // cluster:up uses the disk of a machine whose domain is missing again.
    const node = basename(name).replace(/(?:-seed\.iso|\.qcow2)$/, '')
    if (isKnown && (desired === undefined || desired.has(node))) return undefined
    return 'no machine uses it'
  }
  return desired === undefined || desired.has(name)
    ? undefined
    : `it is no longer in the settings of ${cluster} (first follow "Fewer machines" in docs/operations.md)`
}

/** The orphans as text. */
export function renderOrphans(orphans: readonly Orphan[]): string {
  if (orphans.length === 0) return 'No orphans: everything belongs to a cluster with an env file.'
  return orphans
    .flatMap(({ kind, name, host, why, remove, keep, owner }) => [
      `${kind} ${shown(name)} on ${host}: ${why}`,
      ...(owner === undefined ? [] : [`    it may belong to: ${owner}`]),
      remove === null ? `    do not remove it: ${keep}` : `    to remove it, on ${host}: ${remove}`,
    ])
    .join('\n')
}
