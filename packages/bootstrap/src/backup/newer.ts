/** What a restore would throw away: data of a running etcd that its backup does not have. */
import { relative } from 'node:path'
import { observeEtcdFacts } from '@talosmith/clients/etcd'
import { openKubernetes } from '@talosmith/clients/kubernetes'
import { openTalosctl, type Talosctl } from '@talosmith/clients/talos'
import { commandFor, generatedFiles, Problem, type Change, type Cluster } from '@talosmith/core'
import { renderTalosconfig } from '../config/machine-config.ts'
import { checkTalosconfig, completeTalosconfig } from '../generated/access.ts'
import { readSecrets, type PublicSecrets } from '../generated/secrets.ts'
import { withWorkFolder } from '../generated/work-folder.ts'
import { backupFolder, listBackups, type Backup } from '../generated/backups.ts'
import { readIdentity, readRevision } from './backup.ts'
import { takeBackup } from './take-backup.ts'

/** A running etcd of the cluster. */
export interface RunningEtcd {
  /** Undefined: the API server does not report it. */
  readonly revision: number | undefined
  readonly identity: string | undefined
}

type Compared = Pick<Backup, 'file' | 'takenAt' | 'revision' | 'identity'>

/** What a running etcd has that a backup has not; undefined: nothing. Pure. */
export function describeNewer(
  { file, takenAt, revision, identity }: Compared,
  etcd: RunningEtcd,
): string | undefined {
  if (identity !== undefined && etcd.identity !== undefined && identity !== etcd.identity)
    return `etcd runs with data of another cluster than ${file} (kube-system has the UID ${etcd.identity})`
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
  const digest = (await readSecrets(cluster))?.digest
  const newest = (await listBackups(cluster)).find((one) => one.secrets === digest)
  const newer =
    newest === undefined ? 'etcd answers, and no backup has its data' : describeNewer(newest, etcd)
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

/** The running etcd of this cluster; undefined: none answers, or there are no secrets to ask it with. */
export async function observeRunningEtcd(cluster: Cluster): Promise<RunningEtcd | undefined> {
  return askEtcd(cluster, async () => {
    const kubernetes = await openKubernetes(cluster).catch(() => undefined)
    const [revision, identity] = await Promise.all([
      kubernetes && readRevision(kubernetes).catch(() => undefined),
      kubernetes && readIdentity(kubernetes).catch(() => undefined),
    ])
    return { revision, identity }
  })
}

/** Backs the running etcd up and returns the path of the backup. Throws BACKUP_FAILED. */
export async function saveRunningEtcd(cluster: Cluster): Promise<string> {
  const saved = await askEtcd(cluster, async (talosctl, secrets) => {
    const kubernetes = await openKubernetes(cluster).catch(() => undefined)
    return takeBackup({ cluster, talosctl, kubernetes, secrets, beforeRestore: true })
  }).catch((error: unknown) => {
    throw error instanceof Problem ? notSaved(cluster, error.because ?? error.message) : error
  })
  if (saved === undefined) throw notSaved(cluster, 'etcd no longer answers')
  return generatedFiles(cluster).path(backupFolder, saved.file)
}

/** Runs `ask` when etcd answers on a control plane; the talosconfig is made for it where there is none. */
async function askEtcd<T>(
  cluster: Cluster,
  ask: (talosctl: Talosctl, secrets: PublicSecrets) => Promise<T>,
): Promise<T | undefined> {
  const secrets = await readSecrets(cluster)
  if (secrets === undefined) return undefined
  const answers = async (talosctl: Talosctl): Promise<T | undefined> => {
    const options = { talosCa: secrets.talosCa, asksAlarms: false }
    const { status } = await observeEtcdFacts(cluster, talosctl, options)
    return status.length === 0 ? undefined : ask(talosctl, secrets)
  }
  const tool = await openTalosctl(cluster)
  const problem = await checkTalosconfig(cluster, secrets)
  if (problem === undefined || problem === 'expiring') return answers(tool)
  return withWorkFolder(cluster, async (folder) => {
    const text = await renderTalosconfig(cluster, tool)
    await folder.write('talosconfig', completeTalosconfig(cluster, text))
    const path = relative(cluster.generated, folder.path('talosconfig'))
    return answers(await openTalosctl(cluster, path))
  })
}

function notSaved(cluster: Cluster, because: string): Problem {
  return new Problem('BACKUP_FAILED', `could not back up etcd before it is replaced`, {
    because,
    now: 'nothing was changed',
    hint: `see what is wrong with etcd: ${commandFor(cluster, 'cluster:diagnose')}\nto continue without that backup, stop the machines first: ${commandFor(cluster, 'cluster:stop')}`,
  })
}
