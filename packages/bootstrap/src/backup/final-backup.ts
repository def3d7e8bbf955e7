/** The backup that FINAL_SNAPSHOT takes of a cluster whose machines are about to be destroyed. */
import { generatedFiles, Problem, readClusterId, type Change, type Cluster } from '@talosmith/core'
import { openKubernetes } from '@talosmith/clients/kubernetes'
import { openTalosctl } from '@talosmith/clients/talos'
import { removedFolder } from '../generated/removal.ts'
import { identifySecrets, isOfSecrets, secretsFile } from '../secrets/secrets.ts'
import { backupFolder, listBackups, type Backup } from '../generated/backups.ts'
import { isOfCurrentHistory } from '../generated/history.ts'
import { takeBackup } from './take-backup.ts'

/**
 * The final backup of this cluster; undefined: none was taken. Ignores those of an earlier cluster of the same
 * name, which had other secrets or another ID, and those from before a restore, also the restored one.
 */
export async function findFinalBackup(cluster: Cluster): Promise<Backup | undefined> {
  const text = await findSecrets(cluster)
  if (text === undefined) return undefined
  const secrets = identifySecrets(text)
  const clusterId = await readClusterId(cluster)
  for (const one of await listBackups(cluster))
    if (
      one.isFinal === true &&
      isOfSecrets(one, secrets) &&
      (one.clusterId ?? clusterId) === clusterId &&
      (await isOfCurrentHistory(cluster, one))
    )
      return one
  return undefined
}

/** The final backup as a change of a plan. */
export function planFinalBackup({ name }: Cluster): Change {
  return {
    kind: 'backup-etcd',
    target: 'etcd',
    summary: `Back up etcd and the machine secrets into generated/${name}/${backupFolder}`,
    risk: 'none',
  }
}

/**
 * Takes a verified backup of etcd, stores the machine secrets with it, which a restore needs, and returns its
 * path. Kubernetes may be down. Throws BACKUP_FAILED with the reason of each control plane.
 */
export async function takeFinalBackup(
  cluster: Cluster,
  open: typeof openTalosctl = openTalosctl,
): Promise<string> {
  const files = generatedFiles(cluster)
  const config = await findFile(cluster, 'talosconfig')
  if (config === undefined)
    throw backupFailed(cluster, 'there is no talosconfig to access the control planes')
  const [talosctl, keptSecrets] = [await open(cluster, config), await findSecrets(cluster)]
  const kubernetes = await openKubernetes(cluster).catch(() => undefined)
  try {
    const { file } = await takeBackup({ cluster, talosctl, kubernetes, final: { keptSecrets } })
    return files.path(backupFolder, file)
  } catch (error) {
    throw error instanceof Problem ? backupFailed(cluster, error.because ?? error.message) : error
  }
}

/** The machine secrets, also when an interrupted destroy has moved them to removed/. */
async function findSecrets(cluster: Cluster): Promise<string | undefined> {
  const name = await findFile(cluster, secretsFile)
  return name === undefined ? undefined : generatedFiles(cluster).read(name)
}

async function findFile(cluster: Cluster, name: string): Promise<string | undefined> {
  const files = generatedFiles(cluster)
  for (const place of [name, `${removedFolder}/${name}`]) if (await files.has(place)) return place
  return undefined
}

function backupFailed({ name }: Cluster, because: string): Problem {
  return new Problem('BACKUP_FAILED', `could not take a final backup of cluster ${name}`, {
    because,
    now: 'nothing was changed',
    hint: 'start a control plane, or leave FINAL_SNAPSHOT out to continue without a backup',
  })
}
