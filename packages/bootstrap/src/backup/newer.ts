/** What a restore would throw away: data of a running etcd that its backup does not have. */
import { observeEtcdFacts } from '@talosmith/clients/etcd'
import { openKubernetes } from '@talosmith/clients/kubernetes'
import { type Talosctl } from '@talosmith/clients/talos'
import { commandFor, generatedFiles, Problem, type Change, type Cluster } from '@talosmith/core'
import { isOfSecrets, readSecrets, type PublicSecrets } from '../secrets/secrets.ts'
import { backupFolder, historyOf, listBackups, type Backup } from '../generated/backups.ts'
import { readHistory } from '../generated/history.ts'
import { readIdentity, readRevision } from './backup.ts'
import { takeBackup } from './take-backup.ts'
import { withTemporaryAccess } from './temporary-access.ts'

/** A running etcd of the cluster. */
export interface RunningEtcd {
  /** Undefined: the API server does not report it. */
  readonly revision: number | undefined
  readonly identity: string | undefined
}

type Compared = Pick<Backup, 'file' | 'takenAt' | 'revision' | 'identity'> & {
  readonly isFormer?: boolean
}

/** What a running etcd has that a backup has not; undefined: nothing. Pure. */
export function describeNewer(
  { file, takenAt, revision, identity, isFormer = false }: Compared,
  etcd: RunningEtcd,
): string | undefined {
  if (identity !== undefined && etcd.identity !== undefined && identity !== etcd.identity)
    return `etcd runs with data of another cluster than ${file} (kube-system has the UID ${etcd.identity})`
  // Revisions of two histories have nothing to do with each other.
  if (isFormer)
    return `etcd answers, and continues from another backup, which was restored after ${file} was taken`
  if (etcd.revision === undefined)
    return `etcd answers, and may be newer than ${file} of ${takenAt} (its revision is not known)`
  const newer = etcd.revision - revision
  return newer > 0 ? `etcd answers, and is ${newer} revisions newer than ${file}` : undefined
}

/**
 * What a regeneration of the secrets would lose of an etcd that runs and was not backed up since; none where none
 * answers. `FINAL_SNAPSHOT` saves it.
 */
export async function planUnsaved(cluster: Cluster): Promise<Change[]> {
  // Secrets that are lost or damaged are what a regeneration is for.
  const etcd = await observeRunningEtcd(cluster).catch(() => undefined)
  if (etcd === undefined) return []
  const secrets = await readSecrets(cluster)
  const newest = (await listBackups(cluster)).find((one) => secrets && isOfSecrets(one, secrets))
  const isFormer = newest !== undefined && historyOf(newest) < (await readHistory(cluster, secrets))
  const newer =
    newest === undefined
      ? 'etcd answers, and no backup has its data'
      : describeNewer({ ...newest, isFormer }, etcd)
  if (newer === undefined) return []
  const summary = `Lose data that no backup has: ${newer}; FINAL_SNAPSHOT=true backs it up first`
  return [{ kind: 'lose', target: 'etcd', summary, risk: 'data-loss' }]
}

/** The backup of newer data as a change of a plan. */
export function planSaving(newer: string): Change {
  return {
    kind: 'backup-etcd',
    target: 'etcd',
    summary: `Back up etcd before it is replaced: ${newer}`,
    risk: 'none',
  }
}

/**
 * The running etcd of this cluster; undefined: none answers, or there are no secrets to ask it with. `kept` are
 * secrets stored with a backup, for a cluster without secrets.yaml.
 */
export async function observeRunningEtcd(
  cluster: Cluster,
  kept?: string,
): Promise<RunningEtcd | undefined> {
  return askEtcd(cluster, kept, async () => {
    const kubernetes = await openKubernetes(cluster).catch(() => undefined)
    const [revision, identity] = await Promise.all([
      kubernetes && readRevision(kubernetes).catch(() => undefined),
      kubernetes && readIdentity(kubernetes).catch(() => undefined),
    ])
    return { revision, identity }
  })
}

/** Backs the running etcd up and returns the path of the backup. Throws BACKUP_FAILED. */
export async function saveRunningEtcd(cluster: Cluster, kept?: string): Promise<string> {
  const saved = await askEtcd(cluster, kept, async (talosctl, secrets) => {
    const kubernetes = await openKubernetes(cluster).catch(() => undefined)
    return takeBackup({ cluster, talosctl, kubernetes, secrets, beforeRestore: true })
  }).catch((error: unknown) => {
    throw error instanceof Problem ? notSaved(cluster, error.because ?? error.message) : error
  })
  if (saved === undefined) throw notSaved(cluster, 'etcd no longer answers')
  return generatedFiles(cluster).path(backupFolder, saved.file)
}

/** Runs `ask` when etcd answers on a control plane. */
async function askEtcd<T>(
  cluster: Cluster,
  kept: string | undefined,
  ask: (talosctl: Talosctl, secrets: PublicSecrets) => Promise<T>,
): Promise<T | undefined> {
  return withTemporaryAccess(cluster, kept, async (talosctl, secrets) => {
    const options = { talosCa: secrets.talosCa, asksAlarms: false }
    const { status } = await observeEtcdFacts(cluster, talosctl, options)
    return status.length === 0 ? undefined : ask(talosctl, secrets)
  })
}

function notSaved(cluster: Cluster, because: string): Problem {
  return new Problem('BACKUP_FAILED', `could not back up etcd before it is replaced`, {
    because,
    now: 'nothing was changed',
    hint: `see what is wrong with etcd: ${commandFor(cluster, 'cluster:diagnose')}\nto continue without that backup, stop the machines first: ${commandFor(cluster, 'cluster:stop')}`,
  })
}
