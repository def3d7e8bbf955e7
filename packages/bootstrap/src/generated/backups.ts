/** The descriptions of the backups in generated/<cluster>/backups. */
import { readdir } from 'node:fs/promises'
import { generatedFiles, type Cluster } from '@talosmith/core'

/** A backup of etcd: a snapshot with what a restore has to know. */
export interface Backup {
  /** Name in generated/<cluster>/backups, without a folder. */
  readonly file: string
  readonly cluster: string
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
  /** Saved by a restore, which then removed this data: it is restored only when it is named. */
  readonly beforeRestore?: true
}

/** The folder of the backups in generated/<cluster>. */
export const backupFolder = 'backups'

/** The backups of a cluster that were verified when they were taken, newest first. */
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
          return descriptionOf(backup.file) === name && /^etcd-[^/]+\.db$/.test(backup.file)
            ? [backup]
            : []
        } catch {
          return []
        }
      }),
  )
  return found.flat().sort((one, other) => other.takenAt.localeCompare(one.takenAt))
}

/** Name of the file that describes a backup. */
export function descriptionOf(file: string): string {
  return file.replace(/\.db$/, '.json')
}
