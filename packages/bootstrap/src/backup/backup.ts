/** The backups in generated/<cluster>/backups: what is known of each, which one to restore, which ones to drop. */
import { readdir } from 'node:fs/promises'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import { generatedFiles, minorOf, Problem, reasonOf, type Cluster } from '@talosmith/core'
import semver from 'semver'
import type { PublicSecrets } from '../generated/secrets.ts'
import { checkSnapshot } from './snapshot-file.ts'

/** A snapshot of etcd and what has to be known to use it. */
export interface Backup {
  /** Name in generated/<cluster>/backups, without a folder. */
  readonly file: string
  readonly cluster: string
  /** ISO 8601. */
  readonly takenAt: string
  readonly machine: string
  /** The API server's version: an older one may not read what it wrote. Undefined: it did not answer. */
  readonly kubernetes?: string
  /** Digest of the secrets that the cluster was made with: with others its data is of no use. */
  readonly secrets?: string
  readonly sha256: string
  readonly bytes: number
  readonly revision: number
  readonly keys: number
  /** UID of the namespace kube-system: no two clusters have the same. Undefined: the API server did not answer. */
  readonly identity?: string
  /** The last one of a cluster: never dropped, with the machine secrets beside it where they were known. */
  readonly isFinal?: true
}

/** A backup that can be restored. */
export interface ChosenBackup extends Backup {
  readonly path: string
  /** There is no secrets.yaml: the one that was kept with the backup is put back first. */
  readonly bringsSecrets: boolean
}

/** Where backups lie in generated/<cluster>. */
export const backupFolder = 'backups'
const kept = 10

/** What tells this cluster from every other: it is made with the first data that etcd ever holds. */
export async function readIdentity({ read }: Pick<Kubernetes, 'read'>): Promise<string> {
  const { metadata } = JSON.parse(await read('/api/v1/namespaces/kube-system')) as {
    metadata: { uid: string }
  }
  return metadata.uid
}

/** etcd's revision: it grows with every write, and a snapshot brings its own along. */
export async function readRevision({ read }: Pick<Kubernetes, 'read'>): Promise<number> {
  const { metadata } = JSON.parse(await read('/api/v1/namespaces?limit=1')) as {
    metadata: { resourceVersion: string }
  }
  return Number(metadata.resourceVersion)
}

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
          // Of another name it would describe, and let be removed, a file that is no backup.
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

/**
 * A backup by its file's name, checked once more; without a name the newest of these secrets, or, where
 * there are no secrets (any more), the newest that has them beside it. Throws BACKUP_UNUSABLE.
 */
export async function chooseBackup(
  cluster: Cluster,
  secrets: Pick<PublicSecrets, 'digest'> | undefined,
  name?: string,
): Promise<ChosenBackup> {
  const all = await listBackups(cluster)
  const files = generatedFiles(cluster)
  const fits = await Promise.all(
    all.map(async ({ file, secrets: own }) =>
      secrets === undefined
        ? files.has(`${backupFolder}/${keptSecretsOf(file)}`)
        : own === secrets.digest,
    ),
  )
  const wanted = name?.replace(/^.*\//, '')
  const backup =
    wanted === undefined
      ? (all.find((_, index) => fits[index]) ?? all[0])
      : all.find(({ file }) => file === wanted)
  const refuse = (because: string, hint?: string): Problem =>
    new Problem('BACKUP_UNUSABLE', `${wanted ?? backup?.file ?? 'no backup'} cannot be restored`, {
      because,
      now: 'nothing was changed',
      hint:
        hint ??
        (all.length === 0
          ? `put a snapshot with its .json into ${files.path(backupFolder)}`
          : `choose another with --snapshot: ${all.map(({ file }) => file).join(', ')}`),
    })
  if (backup === undefined)
    throw refuse(`there is no such verified snapshot in ${files.path(backupFolder)}`)
  if (backup.cluster !== cluster.name) throw refuse(`it is of cluster ${backup.cluster}`)
  if (secrets === undefined && !fits[all.indexOf(backup)])
    throw refuse(
      'there is no secrets.yaml, and a snapshot is of use with the secrets of its cluster only',
      'put back the secrets.yaml that the cluster was made with, then run the same command again',
    )
  if (secrets !== undefined && backup.secrets !== undefined && backup.secrets !== secrets.digest)
    throw refuse(
      'it was taken when the cluster had other secrets than those in secrets.yaml',
      backup.isFinal
        ? `destroy the cluster that has the present secrets first (cluster:destroy, with FINAL_SNAPSHOT=true to keep it); cluster:restore then takes the secrets that were kept with this backup`
        : undefined,
    )
  const { KUBERNETES_VERSION: kubernetes } = cluster.settings
  if (
    backup.kubernetes !== undefined &&
    semver.lt(`${minorOf(kubernetes)}.0`, `${minorOf(backup.kubernetes)}.0`)
  )
    throw refuse(
      `Kubernetes ${backup.kubernetes} wrote it, and KUBERNETES_VERSION=${kubernetes} is older`,
    )
  const path = files.path(backupFolder, backup.file)
  const { sha256 } = await checkSnapshot(path).catch((error: unknown) => {
    throw refuse(reasonOf(error) ?? 'it cannot be read')
  })
  if (sha256 !== backup.sha256) throw refuse('its bytes are not those that were written')
  return { ...backup, path, bringsSecrets: secrets === undefined }
}

/** The machine secrets that were kept beside a backup; undefined: none were. */
export async function readKeptSecrets(
  cluster: Cluster,
  { file }: Pick<Backup, 'file'>,
): Promise<string | undefined> {
  return generatedFiles(cluster).read(`${backupFolder}/${keptSecretsOf(file)}`)
}

/** Name of the file that describes a snapshot. */
export function descriptionOf(file: string): string {
  return file.replace(/\.db$/, '.json')
}

/** Name of the file that holds the machine secrets of a snapshot's cluster. */
export function keptSecretsOf(file: string): string {
  return file.replace(/\.db$/, '.secrets.yaml')
}

/**
 * Drops all but the newest ten of a cluster, never `taken`, the one just taken, nor the final one of a
 * cluster that is gone. What a killed run left without a description goes with those that are as old.
 */
export async function dropOldest(cluster: Cluster, taken: Pick<Backup, 'file'>): Promise<void> {
  const files = generatedFiles(cluster)
  const described = await listBackups(cluster)
  const all = described.filter(({ file, isFinal }) => isFinal !== true && file !== taken.file)
  const oldest = all[kept - 2]
  if (oldest === undefined) return
  const left = (await readdir(files.path(backupFolder))).filter(
    (name) =>
      /^etcd-.*\.db$/.test(name) &&
      name < oldest.file &&
      !described.some(({ file }) => file === name),
  )
  for (const file of [...all.slice(kept - 1).map(({ file }) => file), ...left]) {
    await files.remove(`${backupFolder}/${descriptionOf(file)}`)
    await files.remove(`${backupFolder}/${file}`)
  }
}
