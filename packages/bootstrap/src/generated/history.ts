/** The histories of etcd's data: each restore ends one and begins the next. */
import { generatedFiles, readClusterId, type Cluster } from '@talosmith/core'
import {
  backupFolder,
  describeBackup,
  descriptionOf,
  historyOf,
  listBackups,
  type Backup,
} from './backups.ts'

/** The record of the current history, beside the backups, which have the same number. */
const historyFile = `${backupFolder}/history.json`

interface HistoryRecord {
  readonly history: number
  /** The backup that the current history began with. */
  readonly restored?: string
}

/** The number of the current history; 0: no restore has begun one. */
export async function readHistory(cluster: Cluster): Promise<number> {
  const record = await readRecord(cluster)
  return Number.isSafeInteger(record.history) ? Number(record.history) : 0
}

/** Whether a backup was taken of the current history: not in a former one, and not before the restore that began it. */
export async function isOfCurrentHistory(cluster: Cluster, backup: Backup): Promise<boolean> {
  const { restored } = await readRecord(cluster)
  return historyOf(backup) >= (await readHistory(cluster)) && backup.file !== restored
}

async function readRecord(cluster: Cluster): Promise<Partial<HistoryRecord>> {
  const record = (await generatedFiles(cluster).readJson(historyFile)) as
    Partial<HistoryRecord> | null | undefined
  return record ?? {}
}

/**
 * The history that a backup of this revision continues, whose cluster has the backups `own`. A revision lower than
 * one of the current history means that etcd was restored from another computer, or began empty: the next history.
 */
export function historyAt(current: number, own: readonly Backup[], revision: number): number {
  const latest = Math.max(current, ...own.map(historyOf))
  const isBehind = own.some((one) => historyOf(one) === latest && one.revision > revision)
  // 0: the snapshot's revision is not known.
  return isBehind && revision > 0 ? latest + 1 : latest
}

/**
 * Records that etcd continues from `restored`, in a new history: what was backed up since is of a former one. The
 * backup is then one of the cluster that runs here, also if another checkout took it of a cluster with another ID.
 */
export async function beginHistory(
  cluster: Cluster,
  restored: Pick<Backup, 'file'>,
): Promise<void> {
  const files = generatedFiles(cluster)
  const all = await listBackups(cluster)
  const history = Math.max(await readHistory(cluster), ...all.map(historyOf)) + 1
  const backup = all.find(({ file }) => file === restored.file)
  if (backup !== undefined) {
    const clusterId = await readClusterId(cluster)
    const text = describeBackup({
      ...backup,
      ...(clusterId !== undefined && { clusterId }),
      ...{ history, isAbandoned: false, beforeRestore: false },
    })
    await files.write(`${backupFolder}/${descriptionOf(backup.file)}`, text)
  }
  const record: HistoryRecord = { history, restored: restored.file }
  await files.write(historyFile, `${JSON.stringify(record)}\n`)
}
