/** The descriptions of the backups in generated/<cluster>/backups. */
import { generatedFiles, type Cluster } from '@talosmith/core'
import { withCaDigests } from './backup-secrets.ts'

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
  /** SHA-256 of the file with the cluster's machine secrets: with other secrets the backup cannot be used. */
  readonly secrets?: string
  /** SHA-256 of their CAs, which identifies them also in another file. Undefined: taken before it was recorded. */
  readonly caDigest?: string
  readonly sha256: string
  readonly bytes: number
  readonly revision: number
  readonly keys: number
  /** UID of the namespace kube-system: no two clusters have the same. Undefined: the API server did not answer. */
  readonly identity?: string
  /** The last backup of a destroyed cluster: never deleted, stored with the machine secrets where they were known. */
  readonly isFinal?: true
  /** The history of etcd that it was taken of, or restored into: each restore begins the next. Undefined: the first. */
  readonly history?: number
  /** Instead of a former history, by versions without `history`: an older backup was restored since. */
  readonly isAbandoned?: boolean
  /** Saved by a restore, which then removed this data: it is restored only when it is named. */
  readonly beforeRestore?: boolean
}

/** The folder of the backups in generated/<cluster>. */
export const backupFolder = 'backups'

/** The backups of a cluster that were verified when they were taken, newest first (see `newestFirst`). */
export async function listBackups(cluster: Cluster): Promise<Backup[]> {
  const files = generatedFiles(cluster)
  const names = await files.names(backupFolder)
  const found = await Promise.all(
    names
      .filter((name) => name.endsWith('.json'))
      .map(async (name) => {
        // One that can't be read is an error: a backup that seems to have no description may be deleted.
        const backup = await files.readJson(`${backupFolder}/${name}`)
        // A description of another file could cause that file to be deleted.
        return isBackup(backup) && descriptionOf(backup.file) === name ? [backup] : []
      }),
  )
  return newestFirst(await withCaDigests(cluster, found.flat()))
}

/** Whether a description has what is read from it; `file` is a name in the folder of the backups. */
function isBackup(described: unknown): described is Backup {
  if (typeof described !== 'object' || described === null) return false
  const { file, takenAt, revision, history = 0 } = described as Partial<Backup>
  return (
    typeof file === 'string' &&
    /^etcd-[^/]+\.db$/.test(file) &&
    typeof takenAt === 'string' &&
    Number.isFinite(revision) &&
    Number.isSafeInteger(history)
  )
}

/** The number of a backup's history, the current one's is the highest. */
export function historyOf({ history = 0, isAbandoned }: Backup): number {
  return isAbandoned === true ? -1 : history
}

/**
 * Newest first. Of one cluster by the history of etcd, then by its revision, which no wrong clock changes; between
 * clusters, whose revisions have nothing to do with each other, by time. Pure.
 */
function newestFirst(backups: readonly Backup[]): Backup[] {
  const secretsOf = ({ caDigest, secrets }: Backup): string | undefined => caDigest ?? secrets
  const clusters = [...new Set(backups.map(secretsOf))].map((own) =>
    backups.filter((one) => secretsOf(one) === own),
  )
  const latest = (list: readonly Backup[]): string =>
    list.map(({ takenAt }) => takenAt).reduce((one, other) => (one > other ? one : other), '')
  return clusters
    .sort((one, other) => latest(other).localeCompare(latest(one)))
    .flatMap((list) =>
      list.sort(
        (one, other) =>
          historyOf(other) - historyOf(one) ||
          other.revision - one.revision ||
          other.takenAt.localeCompare(one.takenAt),
      ),
    )
}

/** The text of a backup's description. */
export function describeBackup(backup: Backup): string {
  return `${JSON.stringify(backup, null, 2)}\n`
}

/** Name of the file that describes a backup. */
export function descriptionOf(file: string): string {
  return file.replace(/\.db$/, '.json')
}
