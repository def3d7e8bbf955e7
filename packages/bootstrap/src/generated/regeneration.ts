import { applyAll, generatedFiles, type Change, type Cluster, type Log } from '@talosmith/core'
import {
  applyRemoval,
  observeRemovableFiles,
  planRemoveAccess,
  planRemoveConfig,
  regenerationFile,
  removeEmptyFolders,
  type RemovalChange,
} from './removal.ts'

/** What a run that was stopped half-way left: where the old secrets went, and whether the machines are new. */
export interface Regeneration {
  /** The folder of the old secrets and access files, below the cluster's own. */
  readonly archive: string
  readonly machinesAreNew: boolean
}

/** The regeneration under way; undefined: none is. */
export async function findRegeneration(cluster: Cluster): Promise<Regeneration | undefined> {
  const text = await generatedFiles(cluster).read(regenerationFile)
  return text === undefined ? undefined : (JSON.parse(text) as Regeneration)
}

/** A regeneration that begins now. */
export function newRegeneration(now: Date = new Date()): Regeneration {
  return { archive: `archive/${now.toISOString().replaceAll(':', '-')}`, machinesAreNew: false }
}

/** What of the cluster's secrets, machine configs and access files goes into the archive. */
export async function planArchive(
  cluster: Cluster,
  { archive, machinesAreNew }: Regeneration,
): Promise<RemovalChange[]> {
  if (machinesAreNew) return []
  const seen = await observeRemovableFiles(cluster)
  return [...planRemoveAccess(cluster, seen), ...planRemoveConfig(cluster, seen)]
    .filter(({ target }) => target !== regenerationFile)
    .map((change) => ({ ...change, summary: `Archive ${change.target} in ${archive}` }))
}

/** What nothing brings back, beside files and machines; or, once that is over, what there is left to do. */
export function describeLosses(
  { name }: Cluster,
  { archive, machinesAreNew }: Regeneration,
): Change[] {
  if (machinesAreNew)
    return [
      {
        kind: 'go-on',
        target: name,
        summary: `Go on with the new secrets of ${name} (the old ones are in ${archive}): configure, start and prove the new machines`,
        risk: 'none',
      },
    ]
  const losses = {
    'cluster identity': `Give up the identity of cluster ${name}: every certificate authority`,
    'access files': 'Make every kubeconfig and talosconfig void that anybody has',
    'service account tokens':
      "Make the service account tokens of workloads void, and lose etcd's data",
  }
  return Object.entries(losses).map(([target, summary]) => ({
    kind: 'lose',
    target,
    summary,
    risk: 'data-loss',
  }))
}

/** Remembers the regeneration, then moves the old files away. */
export async function archiveSecrets(
  cluster: Cluster,
  regeneration: Regeneration,
  changes: readonly RemovalChange[],
  log: Log,
): Promise<void> {
  await note(cluster, regeneration)
  const move = (change: RemovalChange): Promise<void> =>
    applyRemoval(cluster, change, regeneration.archive)
  await applyAll(changes, move, { log })
  await removeEmptyFolders(cluster)
}

/** From here on a run that is stopped goes on with the machines that it finds. */
export async function noteNewMachines(
  cluster: Cluster,
  regeneration: Regeneration,
): Promise<Regeneration> {
  const next = { ...regeneration, machinesAreNew: true }
  await note(cluster, next)
  return next
}

/** The regeneration is over; the archive stays. */
export async function endRegeneration(cluster: Cluster): Promise<void> {
  await generatedFiles(cluster).remove(regenerationFile)
}

async function note(cluster: Cluster, regeneration: Regeneration): Promise<void> {
  await generatedFiles(cluster).write(regenerationFile, `${JSON.stringify(regeneration)}\n`)
}
