/** The descriptions of the backups in generated/<cluster>/backups. */
import { readdir } from 'node:fs/promises'
import { generatedFiles, type Cluster } from '@talosmith/core'

/** A backup of etcd: a snapshot with what a restore has to know. */
export interface Backup {
  /** Name in generated/<cluster>/backups, without a folder. */
  readonly file: string
  readonly cluster: string
  /** The cluster's ID, which its machines have in their metadata; it travels with the backup to another computer. */
  readonly clusterId?: string
  /** ISO 8601. */
  readonly takenAt: string
  readonly machine: string
  /** The API server's version: an older one may not be able to read its data. Undefined: it did not answer. */
  readonly kubernetes?: string
  /** Digest of the machine secrets of the cluster: with other secrets the backup cannot be used. */
  readonly secrets?: string
  readonly sha256: string
  readonly bytes: number
  readonly revision: number
  readonly keys: number
  /** UID of the namespace kube-system: no two clusters have the same. Undefined: the API server did not answer. */
  readonly identity?: string
  /** The last backup of a destroyed cluster: never deleted, stored with the machine secrets where they were known. */
  readonly isFinal?: true
  /** An older backup was restored since: the cluster does not continue from this one. */
  readonly isAbandoned?: boolean
  /** Saved by a restore, which then removed this data: it is restored only when it is named. */
  readonly beforeRestore?: true
}

/** The folder of the backups in generated/<cluster>. */
export const backupFolder = 'backups'

/** The backups of a cluster that were verified when they were taken, newest first (see `newestFirst`). */
export async function listBackups(cluster: Cluster): Promise<Backup[]> {
  const files = generatedFiles(cluster)
  const names = await readdir(files.path(backupFolder)).catch(() => [])
  const found = await Promise.all(
    names
      .filter((name) => name.endsWith('.json'))
      .map(async (name) => {
        try {
          const backup = JSON.parse((await files.read(`${backupFolder}/${name}`)) ?? '') as Backup
          // A description of another file could cause that file to be deleted.
          return isBackup(backup) && descriptionOf(backup.file) === name ? [backup] : []
        } catch {
          return []
        }
      }),
  )
  return newestFirst(found.flat())
}

/** Whether a description has what is read from it; `file` is a name in the folder of the backups. */
function isBackup({ file, takenAt, revision }: Backup): boolean {
  return /^etcd-[^/]+\.db$/.test(file) && typeof takenAt === 'string' && Number.isFinite(revision)
}

/**
 * Newest first. Of one cluster by etcd's revision, which no wrong clock changes, those that a restore has
 * abandoned last; between clusters, whose revisions have nothing to do with each other, by time. Pure.
 */
function newestFirst(backups: readonly Backup[]): Backup[] {
  const clusters = [...new Set(backups.map(({ secrets }) => secrets))].map((own) =>
    backups.filter(({ secrets }) => secrets === own),
  )
  const latest = (list: readonly Backup[]): string =>
    list.map(({ takenAt }) => takenAt).reduce((one, other) => (one > other ? one : other), '')
  return clusters
    .sort((one, other) => latest(other).localeCompare(latest(one)))
    .flatMap((list) =>
      list.sort(
        (one, other) =>
          Number(one.isAbandoned === true) - Number(other.isAbandoned === true) ||
          other.revision - one.revision ||
          other.takenAt.localeCompare(one.takenAt),
      ),
    )
}

/** Records that the cluster continues from `restored`: those of later revisions are abandoned. */
export async function noteRestored(cluster: Cluster, restored: Backup): Promise<void> {
  const files = generatedFiles(cluster)
  for (const backup of await listBackups(cluster)) {
    if (backup.secrets !== restored.secrets) continue
    const isAbandoned =
      backup.file !== restored.file &&
      (backup.isAbandoned === true || backup.revision > restored.revision)
    if (isAbandoned !== (backup.isAbandoned === true))
      await files.write(
        `${backupFolder}/${descriptionOf(backup.file)}`,
        describeBackup({ ...backup, isAbandoned }),
      )
  }
}

/** The text of a backup's description. */
export function describeBackup(backup: Backup): string {
  return `${JSON.stringify(backup, null, 2)}\n`
}

/** Name of the file that describes a backup. */
export function descriptionOf(file: string): string {
  return file.replace(/\.db$/, '.json')
}
