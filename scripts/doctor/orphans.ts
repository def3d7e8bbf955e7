/** Orphans: what Talosmith created on hosts and in generated/, and no env file needs any more. */
import { readdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { listClusters, type Cluster, type Host } from '@talosmith/core'
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
  /** The command that removes it. */
  readonly remove: string
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
  const [folders, ...ofHosts] = await Promise.all([
    readdir(dirname(selected.generated), { withFileTypes: true }).catch(() => []),
    ...hosts.map(async (host, index) => ({
      host: host.name,
      observed: await observeOwnedResources(host, selected, index),
    })),
  ])
  return [
    ...ofHosts.flatMap(({ host, observed }) => planOrphans(host, observed, known)),
    ...folders
      .filter((entry) => entry.isDirectory() && !known.has(entry.name))
      .map(({ name }): Orphan => {
        const path = `generated/${name}`
        const why = `no env file for cluster ${name}`
        const host = 'this machine'
        return { kind: 'generated', name: path, host, cluster: name, why, remove: `rm -r ${path}` }
      }),
  ]
}

/** Which of the observed items are orphans. Pure. */
export function planOrphans(
  host: string,
  observed: readonly OwnedResource[],
  known: KnownClusters,
): Orphan[] {
  return observed.flatMap((item): Orphan[] => {
    const { kind, name, cluster } = item
    const why = whyOrphan(item, known)
    if (why === undefined) return []
    const remove =
      kind === 'machine'
        ? `virsh destroy ${name}; virsh undefine ${name} --nvram --managed-save --snapshots-metadata --checkpoints-metadata`
        : `rm -r ${name}`
    return [{ kind, name, host, cluster, why, remove }]
  })
}

function whyOrphan(
  { kind, name, cluster, isUsed }: OwnedResource,
  known: KnownClusters,
): string | undefined {
  const isKnown = cluster !== undefined && known.has(cluster)
  // A file that a machine uses goes with the machine; partial files are removed by the next run of their cluster.
  if ((isUsed && kind !== 'machine') || (isKnown && kind === 'leftover')) return undefined
  if (!isKnown && cluster !== undefined) return `no env file for cluster ${cluster}`
  if (kind !== 'machine') return 'no machine uses it'
  const desired = cluster === undefined ? undefined : known.get(cluster)
  return desired === undefined || desired.has(name)
    ? undefined
    : `it is no longer in the settings of ${cluster} (first follow "Fewer machines" in docs/operations.md)`
}

/** The orphans as text. */
export function renderOrphans(orphans: readonly Orphan[]): string {
  if (orphans.length === 0) return 'No orphans: everything belongs to a cluster with an env file.'
  return orphans
    .map(
      ({ kind, name, host, why, remove }) =>
        `${kind} ${name} on ${host}: ${why}\n    remove it with: ${remove}`,
    )
    .join('\n')
}
