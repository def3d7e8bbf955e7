/** Restores and regenerations that were stopped: what other commands must not do before they have ended. */
import {
  commandFor,
  generatedFiles,
  Problem,
  withLock,
  type Cluster,
  type Log,
} from '@talosmith/core'
import { findRegeneration } from './regeneration.ts'
import { regenerationFile, restoreFile } from './removal.ts'
import { unlessLocked } from './unless-locked.ts'

/** The flows that a stopped run leaves unfinished. */
export type Flow = 'cluster:restore' | 'cluster:regenerate-secrets'

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
  const { name } = cluster
  const files = generatedFiles(cluster)
  const because =
    'it has removed machines or secrets, so the cluster would begin again without its data'
  const now = 'nothing was changed'
  const goOn = (flow: Flow): string =>
    `to continue it: CONFIRM=${name} ${commandFor(cluster, flow)}`
  if (within !== 'cluster:restore' && (await files.has(restoreFile))) {
    const instead = `to begin with an empty cluster instead, remove ${files.path(restoreFile)} first`
    const hint = `${goOn('cluster:restore')}\n${instead}`
    const message = `a restore of cluster ${name} was interrupted`
    throw new Problem('RESTORE_UNFINISHED', message, { because, now, hint })
  }
  const { underWay } = await findRegeneration(cluster)
  if (within !== 'cluster:regenerate-secrets' && underWay !== undefined) {
    const instead = `if the cluster was completed in another way, remove ${files.path(regenerationFile)} first`
    const hint = `${goOn('cluster:regenerate-secrets')}\n${instead}`
    const message = `a regeneration of the secrets of cluster ${name} was interrupted`
    throw new Problem('REGENERATION_UNFINISHED', message, { because, now, hint })
  }
}
