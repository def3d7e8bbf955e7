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
import { isOfSecrets, type SecretsId } from '../secrets/secrets.ts'

/** The record of the current history, beside the backups, which have the same number. */
const historyFile = `${backupFolder}/history.json`

interface HistoryRecord {
  readonly history: number
  /** The backup that the current history began with; earlier versions did not record it. */
  readonly restored?: string
  /** Digests of the secrets of the cluster whose history it is; earlier versions did not record them. */
  readonly secrets?: string
  readonly caDigest?: string
}

/**
 * The number of the current history of the cluster that has these secrets; 0: no restore has begun one. The record
 * may be of an earlier cluster, whose histories have nothing to do with those of its successor.
 */
export async function readHistory(
  cluster: Cluster,
  secrets: SecretsId | undefined,
): Promise<number> {
  const record = await readRecord(cluster)
  const isKnown = secrets !== undefined && record.secrets !== undefined
  return isKnown && !isOfSecrets(record, secrets) ? 0 : numberOf(record)
}

/** Whether a backup was taken of the current history: not in a former one, and not before the restore that began it. */
export async function isOfCurrentHistory(cluster: Cluster, backup: Backup): Promise<boolean> {
  const { restored } = await readRecord(cluster)
  const secrets = secretsOf(backup)
  const current = await readHistory(cluster, secrets)
  if (historyOf(backup) < current) return false
  if (restored !== undefined || current === 0) return backup.file !== restored
  // Not recorded: a history begins with its lowest revision.
  const isEarlier = (one: Backup): boolean =>
    one.revision < backup.revision ||
    (one.revision === backup.revision && one.takenAt < backup.takenAt)
  return (await listBackups(cluster)).some(
    (one) =>
      historyOf(one) === historyOf(backup) &&
      (secrets === undefined || isOfSecrets(one, secrets)) &&
      isEarlier(one),
  )
}

/** The secrets of a backup's cluster; undefined: not known. */
export function secretsOf({ secrets, caDigest }: Backup): SecretsId | undefined {
  if (secrets === undefined) return undefined
  return { digest: secrets, ...(caDigest !== undefined && { caDigest }) }
}

async function readRecord(cluster: Cluster): Promise<Partial<HistoryRecord>> {
  const record = (await generatedFiles(cluster).readJson(historyFile)) as
    Partial<HistoryRecord> | null | undefined
  return record ?? {}
}

function numberOf({ history }: Partial<HistoryRecord>): number {
  return Number.isSafeInteger(history) ? Number(history) : 0
}

/**
 * The history that a backup continues, whose cluster has the backups `own`. A revision lower than one of the current
 * history means that etcd was restored from another computer, or began empty, and another cluster ID that its cluster
 * was created with the secrets of a former one: the next history.
 */
export function historyAt(
  current: number,
  own: readonly Backup[],
  { revision, clusterId }: Pick<Backup, 'revision' | 'clusterId'>,
): number {
  const latest = Math.max(current, ...own.map(historyOf))
  const members = own.filter((one) => historyOf(one) === latest)
  // 0: the snapshot's revision is not known.
  const isBehind = revision > 0 && members.some((one) => one.revision > revision)
  const ids = members.flatMap((one) => one.clusterId ?? [])
  const isOther = clusterId !== undefined && ids.length > 0 && !ids.includes(clusterId)
  return isBehind || isOther ? latest + 1 : latest
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
  // Also above those of other clusters: earlier versions compare them.
  const history = Math.max(await readHistory(cluster, undefined), ...all.map(historyOf)) + 1
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
  const record: HistoryRecord = {
    ...{ history, restored: restored.file },
    ...(backup?.secrets !== undefined && { secrets: backup.secrets }),
    ...(backup?.caDigest !== undefined && { caDigest: backup.caDigest }),
  }
  await files.write(historyFile, `${JSON.stringify(record)}\n`)
}
