/** Takes a snapshot of etcd, verifies it, and stores it as a backup with what a restore has to know. */
import { chmod, mkdir, rename } from 'node:fs/promises'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import { type Talosctl, talosReason } from '@talosmith/clients/talos'
import {
  generatedFiles,
  Problem,
  readClusterId,
  reasonOf,
  type Cluster,
  type Generated,
} from '@talosmith/core'
import { identifySecrets, isOfSecrets, type SecretsId } from '../secrets/secrets.ts'
import { withWorkFolder } from '../generated/work-folder.ts'
import {
  backupFolder,
  describeBackup,
  descriptionOf,
  listBackups,
  type Backup,
} from '../generated/backups.ts'
import { historyAt, readHistory } from '../generated/history.ts'
import { deleteOldest, keptSecretsOf, readIdentity } from './backup.ts'
import { checkBackupFile } from './backup-file.ts'

/** The clients and secrets that a backup uses. */
export interface BackupTools {
  readonly cluster: Cluster
  readonly talosctl: Talosctl
  /** Undefined: there is no kubeconfig. */
  readonly kubernetes: Pick<Kubernetes, 'read'> | undefined
  readonly secrets?: SecretsId
  /** Makes this the final backup of a cluster, which is never deleted, with its machine secrets where they are known. */
  readonly final?: { readonly keptSecrets: string | undefined }
  /** Taken by a restore of what it replaces: no other backup is deleted for it. */
  readonly beforeRestore?: true
}

/** The timeout of `etcd status`, which is called first: a snapshot from a stopped machine would hang for minutes. */
const statusMs = 15_000
const snapshotMs = 600_000

/**
 * Takes a snapshot from the first control plane that can provide one, verifies it, and keeps the newest ten.
 * Works while the API server is down: backups matter most when something is broken.
 */
export async function takeBackup(tools: BackupTools, now = new Date()): Promise<Backup> {
  const { cluster, kubernetes, final } = tools
  const files = generatedFiles(cluster)
  const [identity, version] = await Promise.all([
    kubernetes && readIdentity(kubernetes).catch(() => undefined),
    kubernetes && readVersion(kubernetes).catch(() => undefined),
  ])
  const clusterId = await readClusterId(cluster)
  const secrets =
    final?.keptSecrets === undefined ? tools.secrets : identifySecrets(final.keptSecrets)
  return withWorkFolder(cluster, async (work) => {
    const path = work.path('etcd.db')
    const { machine, output } = await streamSnapshot(tools, path)
    const { takenAt, file } = await freeName(files, now)
    const bytes = await checkBackupFile(path).catch((error: unknown) => {
      throw failed(`the snapshot from ${machine} is invalid: ${reasonOf(error)}`)
    })
    // Checked first: a symbolic link as the folder would lead outside.
    await files.has(`${backupFolder}/${file}`)
    await mkdir(files.path(backupFolder), { recursive: true, mode: 0o700 })
    await chmod(path, 0o600)
    await rename(path, files.path(backupFolder, file))
    if (final?.keptSecrets !== undefined)
      await files.write(`${backupFolder}/${keptSecretsOf(file)}`, final.keptSecrets)
    // `talosctl etcd snapshot` prints both: cmd/talosctl/cmd/talos/etcd.go, etcdSnapshotCmd.
    const revision = Number(/revision (\d+)/.exec(output)?.[1] ?? 0)
    const keys = Number(/total keys (\d+)/.exec(output)?.[1] ?? 0)
    const own = (await listBackups(cluster)).filter((one) => secrets && isOfSecrets(one, secrets))
    const history = historyAt(await readHistory(cluster, secrets), own, {
      revision,
      ...(clusterId !== undefined && { clusterId }),
    })
    const backup: Backup = {
      ...{ file, cluster: cluster.name, takenAt, machine },
      ...(clusterId !== undefined && { clusterId }),
      ...(version !== undefined && { kubernetes: version }),
      ...(identity !== undefined && { identity }),
      ...(secrets !== undefined && { secrets: secrets.digest }),
      ...(secrets?.caDigest !== undefined && { caDigest: secrets.caDigest }),
      ...(history > 0 && { history }),
      ...(final !== undefined && { isFinal: true }),
      ...(tools.beforeRestore === true && { beforeRestore: true }),
      ...{ ...bytes, revision, keys },
    }
    // Written last: a snapshot with a description is verified.
    await files.write(`${backupFolder}/${descriptionOf(file)}`, describeBackup(backup))
    if (tools.beforeRestore !== true) await deleteOldest(cluster, backup)
    return backup
  })
}

/** The time and the file of a new backup: a clock that was put back must not replace an earlier one. */
async function freeName(files: Generated, now: Date): Promise<Pick<Backup, 'takenAt' | 'file'>> {
  for (let time = now.getTime(); ; time++) {
    const takenAt = new Date(time).toISOString()
    const file = `etcd-${takenAt.replaceAll(':', '-')}.db`
    if (!(await files.has(`${backupFolder}/${file}`))) return { takenAt, file }
  }
}

function failed(because: string): Problem {
  return new Problem('BACKUP_FAILED', 'could not take a snapshot of etcd', {
    because,
    now: 'nothing was changed',
    hint: 'etcd has to be healthy on at least one control plane: npx nx run bootstrap:health',
  })
}

async function streamSnapshot(
  { cluster, talosctl }: BackupTools,
  path: string,
): Promise<{ machine: string; output: string }> {
  const reasons: string[] = []
  for (const { name, address } of cluster.controlPlanes)
    try {
      await talosctl.ask([address], ['etcd', 'status'], { timeoutMs: statusMs })
      const { stdout } = await talosctl.ask([address], ['etcd', 'snapshot', path], {
        timeoutMs: snapshotMs,
      })
      return { machine: name, output: stdout }
    } catch (error) {
      reasons.push(`${name}: ${talosReason(error)}`)
    }
  throw failed(reasons.join('\n'))
}

async function readVersion({ read }: Pick<Kubernetes, 'read'>): Promise<string> {
  return (JSON.parse(await read('/version')) as { gitVersion: string }).gitVersion
}
