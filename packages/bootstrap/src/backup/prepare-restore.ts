/** Before a restore: chooses the backup, checks that the restore could end, and plans it. */
import { commandFor, Problem, withoutCredentials, type Change, type Cluster } from '@talosmith/core'
import { openTalosctl } from '@talosmith/clients/talos'
import { checkGeneratedFiles } from '../configure/generated-files.ts'
import { refuseEtcdElsewhere } from '../configure/refuse-bootstrap.ts'
import { type Backup } from '../generated/backups.ts'
import { findRestore, refuseUnfinished, type Restore } from '../generated/under-way.ts'
import type { UpgradeContext, UpgradeScript } from '../restart/context.ts'
import { readSecrets, secretsFile, type SecretsId } from '../secrets/secrets.ts'
import { chooseBackup, readKeptSecrets, type ChosenBackup } from './backup.ts'
import { describeNewer, observeRunningEtcd, planSaving, saveRunningEtcd } from './newer.ts'
import { withTemporaryAccess } from './temporary-access.ts'

/** The part of a script context that a restore uses. */
export type RestoreScript = UpgradeScript & {
  readonly options: { readonly snapshot?: string | undefined }
}

/** The verified backup that a restore would use: that of a stopped restore, unless one is named. Throws BACKUP_UNUSABLE. */
export async function findBackup(
  { options, cluster }: Pick<RestoreScript, 'cluster' | 'options'>,
  given?: SecretsId,
): Promise<ChosenBackup> {
  const name = options.snapshot ?? (await findRestore(cluster))?.backup
  return chooseBackup(cluster, given ?? (await readSecrets(cluster)), name)
}

/** What a restore continues, in one sentence; undefined: it begins. Pure. */
export function describeContinued(
  begun: Restore | undefined,
  { file, takenAt }: Pick<Backup, 'file' | 'takenAt'>,
): string | undefined {
  return begun?.backup === file
    ? `continuing an interrupted restore of ${file} of ${takenAt}; --snapshot names another backup`
    : undefined
}

/**
 * Checks, before anything is removed, that this restore could end: tools, machine configs, other control planes,
 * no regeneration under way. Returns what has to be saved first: an etcd that is newer than the backup.
 */
export async function prepareRestore(
  cluster: Cluster,
  backup: ChosenBackup,
  observe: typeof observeRunningEtcd = observeRunningEtcd,
): Promise<Change[]> {
  await refuseUnfinished(cluster, 'cluster:restore')
  const talosctl = await openTalosctl(cluster)
  await checkGeneratedFiles(cluster, talosctl)
  const kept = await readKeptSecrets(cluster, backup)
  await withTemporaryAccess(cluster, kept, (access, secrets) =>
    refuseEtcdElsewhere(cluster, access, secrets),
  )
  // Also of a restore that was stopped: what it left may have been used since.
  const etcd = await observe(cluster, kept)
  const newer = etcd && describeNewer(backup, etcd)
  return newer === undefined ? [] : [planSaving(newer)]
}

/**
 * Throws RESTORE_REFUSED when etcd answers although no host of LIBVIRT_URI has a control plane: it runs on another
 * host, perhaps from another checkout, and new machines would get its addresses.
 */
export async function refuseEtcdOnOtherHosts(
  cluster: Cluster,
  backup: ChosenBackup,
  observe: typeof observeRunningEtcd = observeRunningEtcd,
): Promise<void> {
  const etcd = await observe(cluster, await readKeptSecrets(cluster, backup))
  if (etcd === undefined) return
  const { name, controlPlanes, settings } = cluster
  throw new Problem('RESTORE_REFUSED', `cluster ${name} runs on another host`, {
    because: `etcd answers at ${controlPlanes.map(({ address }) => address).join(', ')}, and no machine of the cluster is on ${settings.LIBVIRT_URI.map(withoutCredentials).join(', ')}: new ones would get the same addresses`,
    now: 'nothing was changed',
    hint: `put the host of the machines into LIBVIRT_URI, or, to move the cluster, back it up (${commandFor(cluster, 'bootstrap:backup')}) and stop it there (${commandFor(cluster, 'cluster:stop')}) first`,
  })
}

/** Backs up the running etcd that a restore of this backup replaces; returns the path. Throws BACKUP_FAILED. */
export async function saveReplacedEtcd(cluster: Cluster, backup: ChosenBackup): Promise<string> {
  return saveRunningEtcd(cluster, await readKeptSecrets(cluster, backup))
}

/** The changes of a restore on control planes without data. */
export function planRestore(
  { controlPlanes }: Pick<UpgradeContext['cluster'], 'controlPlanes'>,
  { file, takenAt, bringsSecrets }: Pick<ChosenBackup, 'file' | 'takenAt' | 'bringsSecrets'>,
): Change[] {
  return [
    ...planSecrets({ file, bringsSecrets }),
    {
      kind: 'restore-etcd',
      target: 'etcd',
      summary: `Restore etcd from ${file}`,
      to: takenAt,
      risk: 'data-loss',
    },
    ...controlPlanes.map(({ name }) => ({
      kind: 'restart',
      target: name,
      summary: `Restart ${name} to verify that the restored data persists`,
      risk: 'restart' as const,
    })),
  ]
}

/** Restores the machine secrets of a destroyed cluster from its final backup; none where it has them. */
export function planSecrets({
  bringsSecrets,
  file,
}: Pick<ChosenBackup, 'bringsSecrets' | 'file'>): Change[] {
  if (!bringsSecrets) return []
  const summary = `Restore ${secretsFile}, which is stored with ${file}`
  return [{ kind: 'put-back-secrets', target: secretsFile, summary, risk: 'none' }]
}
