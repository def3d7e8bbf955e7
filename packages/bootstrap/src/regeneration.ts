import { applyAll, generatedFiles, type Cluster, type Log } from '@talosmith/core'
import { takeFinalSnapshot } from './snapshot.ts'
import {
  applyRemoval,
  observeHomeFiles,
  planRemoveAccess,
  planRemoveConfig,
  removeEmptyFolders,
  type RemovalChange,
} from './removal.ts'

/** What a run that was stopped half-way left: where the old secrets went, and whether the machines are new. */
export interface Regeneration {
  /** The folder of the old secrets and access files, below the cluster's own. */
  readonly archive: string
  readonly machinesAreNew: boolean
}

const markerFile = 'regenerating.json'

/** The regeneration under way; undefined: none is. */
export async function findRegeneration(cluster: Cluster): Promise<Regeneration | undefined> {
  const text = await generatedFiles(cluster).read(markerFile)
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
  const seen = await observeHomeFiles(cluster)
  return [...planRemoveAccess(cluster, seen), ...planRemoveConfig(cluster, seen)].map((change) => ({
    ...change,
    summary: `Archive ${change.target} in ${archive}`,
  }))
}

/** Remembers the regeneration, takes the snapshot that was asked for, and moves the old files away. */
export async function archiveSecrets(
  cluster: Cluster,
  regeneration: Regeneration,
  changes: readonly RemovalChange[],
  log: Log,
  withSnapshot: boolean,
): Promise<void> {
  // Before anything is moved: afterwards nobody can ask the old machines.
  if (withSnapshot && (await findRegeneration(cluster)) === undefined)
    log.info(`   snapshot: ${await takeFinalSnapshot(cluster)}`)
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
  await generatedFiles(cluster).remove(markerFile)
}

async function note(cluster: Cluster, regeneration: Regeneration): Promise<void> {
  await generatedFiles(cluster).write(markerFile, `${JSON.stringify(regeneration)}\n`)
}
