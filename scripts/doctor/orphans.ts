import { readdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { listClusters, type Cluster, type Host } from '@talosmith/core'
import { observeStrays, type Stray } from '@talosmith/vm'

/** Something of ours that no env file asks for any more. */
export interface Orphan {
  readonly kind: Stray['kind'] | 'generated'
  /** A machine's name, or a path. */
  readonly name: string
  readonly host: string
  /** The cluster that it says it is of; undefined: it does not say. */
  readonly cluster: string | undefined
  readonly why: string
  /** The command that removes it. */
  readonly remove: string
}

/** The machines that env files ask for, by cluster; undefined: the file can't be read. */
export type KnownClusters = ReadonlyMap<string, ReadonlySet<string> | undefined>

/** What the env files stand for: each for its cluster, or, when it can't be read, for the one of its own name. */
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
      warn(`env/${file}.env can't be read: only what is named ${file} counts as its cluster's`)
    const name = cluster?.name ?? file
    if (!known.has(name)) known.set(name, cluster && machines(cluster))
  }
  return known
}

/** Looks at all hosts of the selected cluster, and at generated/. */
export async function findOrphans(
  selected: Cluster,
  hosts: readonly Host[],
  known: KnownClusters,
): Promise<Orphan[]> {
  const [folders, ...strays] = await Promise.all([
    readdir(dirname(selected.generated), { withFileTypes: true }).catch(() => []),
    ...hosts.map(async (host, index) => ({
      host: host.name,
      seen: await observeStrays(host, selected, index),
    })),
  ])
  return [
    ...strays.flatMap(({ host, seen }) => planOrphans(host, seen, known)),
    ...folders
      .filter((entry) => entry.isDirectory() && !known.has(entry.name))
      .map(({ name }): Orphan => {
        const path = `generated/${name}`
        const why = `there is no env file for cluster ${name}`
        const host = 'this machine'
        return { kind: 'generated', name: path, host, cluster: name, why, remove: `rm -r ${path}` }
      }),
  ]
}

/** Which of what was found on a host nobody asks for; pure. */
export function planOrphans(host: string, seen: readonly Stray[], known: KnownClusters): Orphan[] {
  return seen.flatMap((stray): Orphan[] => {
    const { kind, name, cluster } = stray
    const why = whyOrphan(stray, known)
    if (why === undefined) return []
    const remove =
      kind === 'machine'
        ? `virsh destroy ${name}; virsh undefine ${name} --nvram --managed-save --snapshots-metadata --checkpoints-metadata`
        : `rm -r ${name}`
    return [{ kind, name, host, cluster, why, remove }]
  })
}

function whyOrphan(
  { kind, name, cluster, isUsed }: Stray,
  known: KnownClusters,
): string | undefined {
  const isKnown = cluster !== undefined && known.has(cluster)
  // A file that a machine has goes with the machine; the next run of its cluster clears what is half-made.
  if ((isUsed && kind !== 'machine') || (isKnown && kind === 'leftover')) return undefined
  if (!isKnown && cluster !== undefined) return `there is no env file for cluster ${cluster}`
  if (kind !== 'machine') return 'no machine uses it'
  const asked = cluster === undefined ? undefined : known.get(cluster)
  return asked === undefined || asked.has(name)
    ? undefined
    : `the settings of ${cluster} no longer ask for it (docs/operations.md, "Fewer machines", comes first)`
}

/** The orphans as lines for people. */
export function renderOrphans(orphans: readonly Orphan[]): string {
  if (orphans.length === 0) return 'No orphans: all of ours belongs to an env file.'
  return orphans
    .map(
      ({ kind, name, host, why, remove }) =>
        `${kind} ${name} on ${host}: ${why}\n    to remove it: ${remove}`,
    )
    .join('\n')
}
