/** The backups in generated/<cluster>/backups: which one to restore, which ones to delete. */
import { readdir } from 'node:fs/promises'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import {
  commandFor,
  generatedFiles,
  minorOf,
  Problem,
  reasonOf,
  type Cluster,
} from '@talosmith/core'
import semver from 'semver'
import {
  backupFolder,
  descriptionOf,
  historyOf,
  listBackups,
  type Backup,
} from '../generated/backups.ts'
import { observeEvidence } from '../secrets/evidence.ts'
import { readHistory, secretsOf } from '../generated/history.ts'
import { findContradiction } from '../secrets/recovered-secrets.ts'
import { isOfSecrets, ownerFile, sha256, type SecretsId } from '../secrets/secrets.ts'
import { checkBackupFile } from './backup-file.ts'

/** A backup that can be restored. */
export interface ChosenBackup extends Backup {
  readonly path: string
  /** There is no secrets.yaml: the one stored with the backup is restored first. */
  readonly bringsSecrets: boolean
  /** etcd continues from another backup since: none of what was written after that is in this one. */
  readonly isFormer: boolean
}

const keptCount = 10

/** What identifies this cluster: the UID of kube-system, which is created with the first data of etcd. */
export async function readIdentity({ read }: Pick<Kubernetes, 'read'>): Promise<string> {
  const { metadata } = JSON.parse(await read('/api/v1/namespaces/kube-system')) as {
    metadata: { uid: string }
  }
  return metadata.uid
}

/** etcd's revision, which grows with every write; a snapshot restores its own. */
export async function readRevision({ read }: Pick<Kubernetes, 'read'>): Promise<number> {
  const { metadata } = JSON.parse(await read('/api/v1/namespaces?limit=1')) as {
    metadata: { resourceVersion: string }
  }
  return Number(metadata.resourceVersion)
}

/**
 * A backup by its file name, verified again; without a name the newest that was taken with these secrets, or,
 * where there are no secrets, the newest that is stored with its own; of the current history of etcd, and not what
 * a restore replaced. Throws BACKUP_UNUSABLE.
 */
export async function chooseBackup(
  cluster: Cluster,
  secrets: SecretsId | undefined,
  name?: string,
): Promise<ChosenBackup> {
  const all = await listBackups(cluster)
  const files = generatedFiles(cluster)
  const fits = await Promise.all(
    all.map(async (one) =>
      secrets === undefined
        ? files.has(`${backupFolder}/${keptSecretsOf(one.file)}`)
        : isOfSecrets(one, secrets),
    ),
  )
  const fileName = name?.replace(/^.*\//, '')
  const backup =
    fileName === undefined
      ? (all.find(({ beforeRestore }, index) => fits[index] && beforeRestore !== true) ?? all[0])
      : all.find(({ file }) => file === fileName)
  const refuse = (because: string, hint?: string): Problem =>
    new Problem(
      'BACKUP_UNUSABLE',
      fileName === undefined && backup === undefined
        ? `cluster ${cluster.name} has no backup to restore`
        : `${fileName ?? backup?.file} cannot be restored`,
      {
        because,
        now: 'nothing was changed',
        hint:
          hint ??
          (all.length === 0
            ? `put a backup with its .json into ${files.path(backupFolder)}`
            : `choose another with --snapshot: ${all.map(({ file }) => file).join(', ')}`),
      },
    )
  if (backup === undefined)
    throw refuse(
      `there is no verified backup ${fileName === undefined ? '' : 'of that name '}in ${files.path(backupFolder)}`,
    )
  if (backup.cluster !== cluster.name) throw refuse(`it belongs to cluster ${backup.cluster}`)
  if (secrets === undefined && !fits[all.indexOf(backup)])
    throw refuse(
      'there is no secrets.yaml, and a backup can be used only with the secrets of its cluster',
      `restore the secrets.yaml that the cluster was created with (${commandFor(cluster, 'bootstrap:recover-secrets')}), then run the same command again`,
    )
  if (secrets === undefined) {
    const because = await findOtherCluster(cluster, backup)
    if (because !== undefined)
      throw refuse(
        `there is no secrets.yaml, and the secrets that are stored with it are not the lost ones: ${because}`,
        `recover those first: ${commandFor(cluster, 'bootstrap:recover-secrets')}`,
      )
  }
  if (secrets !== undefined && backup.secrets !== undefined && !isOfSecrets(backup, secrets))
    throw refuse(
      'it was taken when the cluster had other secrets than those in secrets.yaml',
      backup.isFinal
        ? `destroy the cluster that uses the current secrets first (cluster:destroy, with FINAL_SNAPSHOT=true to keep its data); cluster:restore then uses the secrets that are stored with this backup`
        : undefined,
    )
  const isFormer = historyOf(backup) < (await latestHistory(cluster, backup, all))
  if (isFormer && fileName === undefined && secrets !== undefined)
    throw refuse(
      'an older backup has been restored, and no backup was taken since',
      `name the backup to restore with --snapshot: ${all.map(({ file }) => file).join(', ')}`,
    )
  const { KUBERNETES_VERSION: kubernetes } = cluster.settings
  if (
    backup.kubernetes !== undefined &&
    semver.lt(`${minorOf(kubernetes)}.0`, `${minorOf(backup.kubernetes)}.0`)
  )
    throw refuse(
      `it was written by Kubernetes ${backup.kubernetes}, and KUBERNETES_VERSION=${kubernetes} is older`,
    )
  const path = files.path(backupFolder, backup.file)
  const { sha256 } = await checkBackupFile(path).catch((error: unknown) => {
    throw refuse(reasonOf(error) ?? 'it cannot be read')
  })
  if (sha256 !== backup.sha256) throw refuse('its checksum differs from the one in its description')
  return { ...backup, path, bringsSecrets: secrets === undefined, isFormer }
}

/** The latest history of a backup's own cluster: those of another one, which had other secrets, do not count. */
async function latestHistory(
  cluster: Cluster,
  backup: Backup,
  all: readonly Backup[],
): Promise<number> {
  const secrets = secretsOf(backup)
  const own = all.filter((one) => secrets !== undefined && isOfSecrets(one, secrets))
  return Math.max(await readHistory(cluster, secrets), ...own.map(historyOf))
}

/** What shows that the secrets stored with a backup are of an earlier cluster of this name; undefined: nothing. */
async function findOtherCluster(cluster: Cluster, backup: Backup): Promise<string | undefined> {
  const text = (await readKeptSecrets(cluster, backup)) ?? ''
  const { digest, ...authorities } = await observeEvidence(cluster)
  if (Object.keys(authorities).length === 0)
    return digest === undefined || digest === sha256(text)
      ? undefined
      : `${ownerFile} has another checksum`
  try {
    return findContradiction(text, authorities)
  } catch {
    return 'they cannot be read'
  }
}

/** The machine secrets that are stored with a backup, if any. */
export async function readKeptSecrets(
  cluster: Cluster,
  { file }: Pick<Backup, 'file'>,
): Promise<string | undefined> {
  return generatedFiles(cluster).read(`${backupFolder}/${keptSecretsOf(file)}`)
}

/** Name of the file with the machine secrets that belong to a backup. */
export function keptSecretsOf(file: string): string {
  return file.replace(/\.db$/, '.secrets.yaml')
}

/**
 * Once the history of `taken`, the backup just taken, has ten, deletes all others of its cluster: of this history all
 * but the newest ten, of each former one all but the newest. Never deletes `taken`, the final one of a destroyed cluster, nor those of an
 * earlier cluster, which had other secrets. Older ones that a killed run left without a description are deleted, too.
 */
export async function deleteOldest(cluster: Cluster, taken: Backup): Promise<void> {
  const files = generatedFiles(cluster)
  const described = await listBackups(cluster)
  const id = { digest: taken.secrets ?? '', ...(taken.caDigest && { caDigest: taken.caDigest }) }
  const all = described.filter(
    (one) =>
      one.isFinal !== true &&
      one.file !== taken.file &&
      (taken.secrets === undefined ? one.secrets === undefined : isOfSecrets(one, id)),
  )
  const current = all.filter((one) => historyOf(one) === historyOf(taken))
  if (current.length < keptCount - 1) return
  const newest = new Set([
    ...current.slice(0, keptCount - 1),
    ...all.filter(
      (one) =>
        historyOf(one) !== historyOf(taken) &&
        all.find((other) => historyOf(other) === historyOf(one)) === one,
    ),
  ])
  const excess = all.filter((one) => !newest.has(one)).map(({ file }) => file)
  const kept = described.map(({ file }) => file).filter((file) => !excess.includes(file))
  const left = (await readdir(files.path(backupFolder))).filter(
    (name) =>
      /^etcd-.*\.db$/.test(name) &&
      kept.every((file) => name < file) &&
      !described.some(({ file }) => file === name),
  )
  for (const file of [...excess, ...left]) {
    await files.remove(`${backupFolder}/${descriptionOf(file)}`)
    await files.remove(`${backupFolder}/${file}`)
  }
}
