/** The backup that FINAL_SNAPSHOT takes of a cluster whose machines are about to be destroyed. */
import { generatedFiles, Problem, type Change, type Cluster } from '@talosmith/core'
import { openKubernetes } from '@talosmith/clients/kubernetes'
import { openTalosctl } from '@talosmith/clients/talos'
import { removedFolder } from '../generated/removal.ts'
import { secretsFile, sha256 } from '../generated/secrets.ts'
import { backupFolder, listBackups, type Backup } from './backup.ts'
import { takeBackup } from './take-backup.ts'

/**
 * The final backup of this cluster; undefined: none was taken. One of an earlier cluster of the same name,
 * which had other secrets, does not count.
 */
export async function findFinalBackup(cluster: Cluster): Promise<Backup | undefined> {
  const text = await findSecrets(cluster)
  if (text === undefined) return undefined
  const digest = sha256(text)
  return (await listBackups(cluster)).find((one) => one.isFinal && one.secrets === digest)
}

/** Taking it, as a change that a list can show. */
export function planFinalBackup({ name }: Cluster): Change {
  return {
    kind: 'backup-etcd',
    target: 'etcd',
    summary: `Back up etcd and the machine secrets into generated/${name}/${backupFolder}`,
    risk: 'none',
  }
}

/**
 * Takes a verified backup of etcd with the machine secrets beside it, without which it is of no use; its
 * path. Kubernetes may be down. Throws BACKUP_FAILED, with the reason of each control plane.
 */
export async function takeFinalBackup(
  cluster: Cluster,
  open: typeof openTalosctl = openTalosctl,
): Promise<string> {
  const files = generatedFiles(cluster)
  const config = await firstThere(cluster, 'talosconfig')
  if (config === undefined)
    throw withoutIt(cluster, 'there is no talosconfig to reach the control planes with')
  const [talosctl, keptSecrets] = [await open(cluster, config), await findSecrets(cluster)]
  const kubernetes = await openKubernetes(cluster).catch(() => undefined)
  try {
    const { file } = await takeBackup({ cluster, talosctl, kubernetes, final: { keptSecrets } })
    return files.path(backupFolder, file)
  } catch (error) {
    throw error instanceof Problem ? withoutIt(cluster, error.because ?? error.message) : error
  }
}

/** The machine secrets, also while a destroy that was stopped has set them aside. */
async function findSecrets(cluster: Cluster): Promise<string | undefined> {
  const name = await firstThere(cluster, secretsFile)
  return name === undefined ? undefined : generatedFiles(cluster).read(name)
}

async function firstThere(cluster: Cluster, name: string): Promise<string | undefined> {
  const files = generatedFiles(cluster)
  for (const place of [name, `${removedFolder}/${name}`]) if (await files.has(place)) return place
  return undefined
}

function withoutIt({ name }: Cluster, because: string): Problem {
  return new Problem('BACKUP_FAILED', `no final backup of cluster ${name} could be taken`, {
    because,
    now: 'nothing was changed',
    hint: 'bring a control plane back, or leave FINAL_SNAPSHOT out to go on without a backup',
  })
}
