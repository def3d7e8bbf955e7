/** Regenerates a cluster's secrets in steps that an interrupted run can continue. */
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

/** The record of a regeneration that has not ended: where the old secrets are, and whether the machines are new. */
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

/** Which secrets, machine configs and access files are moved to the archive. */
export async function planArchive(
  cluster: Cluster,
  { archive, machinesAreNew }: Regeneration,
): Promise<RemovalChange[]> {
  if (machinesAreNew) return []
  const files = await observeRemovableFiles(cluster)
  return [...planRemoveAccess(cluster, files), ...planRemoveConfig(cluster, files)]
    .filter(({ target }) => target !== regenerationFile)
    .map((change) => ({ ...change, summary: `Archive ${change.target} in ${archive}` }))
}

/** What is lost permanently besides files and machines; once the machines are new, what is left to do. */
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
    'access files': 'Invalidate every existing kubeconfig and talosconfig',
    'service account tokens':
      "Invalidate the service account tokens of workloads, and lose etcd's data",
  }
  return Object.entries(losses).map(([target, summary]) => ({
    kind: 'lose',
    target,
    summary,
    risk: 'data-loss',
  }))
}

/** Records the regeneration, then moves the old files to the archive. */
export async function archiveSecrets(
  cluster: Cluster,
  regeneration: Regeneration,
  changes: readonly RemovalChange[],
  log: Log,
): Promise<void> {
  await writeRecord(cluster, regeneration)
  const move = (change: RemovalChange): Promise<void> =>
    applyRemoval(cluster, change, regeneration.archive)
  await applyAll(changes, move, { log })
  await removeEmptyFolders(cluster)
}

/** Records that the machines are new: from here on an interrupted run continues with them. */
export async function noteNewMachines(
  cluster: Cluster,
  regeneration: Regeneration,
): Promise<Regeneration> {
  const next = { ...regeneration, machinesAreNew: true }
  await writeRecord(cluster, next)
  return next
}

/** Removes the record of the regeneration; the archive stays. */
export async function endRegeneration(cluster: Cluster): Promise<void> {
  await generatedFiles(cluster).remove(regenerationFile)
}

async function writeRecord(cluster: Cluster, regeneration: Regeneration): Promise<void> {
  await generatedFiles(cluster).write(regenerationFile, `${JSON.stringify(regeneration)}\n`)
}
