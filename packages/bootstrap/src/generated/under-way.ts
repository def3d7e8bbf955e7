/** Restores and regenerations that were stopped: what other commands must not do before they have ended. */
import {
  generatedFiles,
  restoreFile,
  unfinishedProblem,
  withLock,
  type Cluster,
  type Flow,
  type Log,
} from '@talosmith/core'
import { findRegeneration } from './regeneration.ts'
import { unlessLocked } from './unless-locked.ts'

/** The record of a restore that has not ended. */
export interface Restore {
  /** The backup that it restores. */
  readonly backup: string
}

/** The restore under way; undefined: there is no record, or none that can be read. */
export async function findRestore(cluster: Cluster): Promise<Restore | undefined> {
  const restore = (await generatedFiles(cluster).readJson(restoreFile)) as
    Partial<Restore> | null | undefined
  return typeof restore?.backup === 'string' ? { backup: restore.backup } : undefined
}

/** Records which backup is restored, before anything is removed. */
export async function beginRestore(
  cluster: Cluster,
  { file }: { readonly file: string },
): Promise<void> {
  const restore: Restore = { backup: file }
  await generatedFiles(cluster).write(restoreFile, `${JSON.stringify(restore)}\n`)
}

/** Removes the record of the restore. */
export async function endRestore(cluster: Cluster): Promise<void> {
  await generatedFiles(cluster).remove(restoreFile)
}

/**
 * Removes the record of a restore that was stopped, once the cluster is healthy: it has data, and the next restore
 * is a new one. While another run has the lock, the record is that run's.
 */
export async function endRestoreAfterHealth(
  cluster: Cluster,
  log: Log,
  lock: typeof withLock = withLock,
): Promise<void> {
  const files = generatedFiles(cluster)
  if (!(await files.has(restoreFile))) return
  await unlessLocked(cluster, lock, async () => {
    if (!(await files.has(restoreFile))) return
    await endRestore(cluster)
    log.info(
      '   the interrupted restore no longer counts: the cluster is healthy with the data it has',
    )
  })
}

/**
 * Throws RESTORE_UNFINISHED or REGENERATION_UNFINISHED while another flow than `within` was stopped midway: with
 * new secrets or an empty etcd in between, it could not go on.
 */
export async function refuseUnfinished(cluster: Cluster, within?: Flow): Promise<void> {
  if (within !== 'cluster:restore' && (await generatedFiles(cluster).has(restoreFile)))
    throw unfinishedProblem(cluster, 'cluster:restore')
  const { underWay } = await findRegeneration(cluster)
  if (within !== 'cluster:regenerate-secrets' && underWay !== undefined)
    throw unfinishedProblem(cluster, 'cluster:regenerate-secrets')
}
