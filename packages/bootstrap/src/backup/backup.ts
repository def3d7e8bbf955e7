import { chmod, mkdir, readdir, rename } from 'node:fs/promises'
import { generatedFiles, minorOf, Problem, reasonOf, type Cluster } from '@talosmith/core'
import type { PublicSecrets } from '../generated/secrets.ts'
import { type Talosctl, talosReason } from '@talosmith/clients/talos'
import { withWorkFolder } from '../generated/work-folder.ts'
import type { WritableKubernetes } from '@talosmith/clients/kubernetes'
import { checkSnapshot } from './snapshot-file.ts'
import semver from 'semver'

/** A snapshot of etcd and what has to be known to use it. */
export interface Backup {
  /** Name in generated/<cluster>/backups, without a folder. */
  readonly file: string
  readonly cluster: string
  /** ISO 8601. */
  readonly takenAt: string
  readonly machine: string
  /** The API server's version: an older one may not read what it wrote. */
  readonly kubernetes: string
  /** Digest of the secrets that the cluster was made with: with others its data is of no use. */
  readonly secrets: string
  readonly sha256: string
  readonly bytes: number
  readonly revision: number
  readonly keys: number
  /** UID of the namespace kube-system: no two clusters have the same. */
  readonly identity: string
}

/** With what a backup is taken. */
export interface BackupTools {
  readonly cluster: Cluster
  readonly talosctl: Talosctl
  readonly kubernetes: Pick<WritableKubernetes, 'get'>
  readonly secrets: Pick<PublicSecrets, 'digest'>
}

const folder = 'backups'
const kept = 10
const snapshotMs = 600_000

/** Takes a snapshot from the first control plane that gives one, verifies it, and keeps the newest ten. */
export async function takeBackup(tools: BackupTools, now = new Date()): Promise<Backup> {
  const { cluster } = tools
  const files = generatedFiles(cluster)
  const [identity, kubernetes] = await Promise.all([
    readIdentity(tools.kubernetes),
    readVersion(tools.kubernetes),
  ]).catch((error: unknown) => {
    throw failed(reasonOf(error) ?? 'Kubernetes does not answer')
  })
  return withWorkFolder(cluster, async (work) => {
    const path = work.path('etcd.db')
    const { machine, said } = await streamSnapshot(tools, path)
    const takenAt = now.toISOString()
    const file = `etcd-${takenAt.replaceAll(':', '-')}.db`
    const bytes = await checkSnapshot(path).catch((error: unknown) => {
      throw failed(`what ${machine} sent is no snapshot: ${reasonOf(error)}`)
    })
    // Looked at first: a folder that is a link would lead it elsewhere.
    await files.has(`${folder}/${file}`)
    await mkdir(files.path(folder), { recursive: true, mode: 0o700 })
    await chmod(path, 0o600)
    await rename(path, files.path(folder, file))
    const backup: Backup = {
      ...{ file, cluster: cluster.name, takenAt, machine, kubernetes },
      ...{ secrets: tools.secrets.digest, identity },
      ...bytes,
      revision: Number(/revision (\d+)/.exec(said)?.[1] ?? 0),
      keys: Number(/total keys (\d+)/.exec(said)?.[1] ?? 0),
    }
    // Last: a snapshot without its description was never verified.
    await files.write(`${folder}/${descriptionOf(file)}`, `${JSON.stringify(backup, null, 2)}\n`)
    await dropOldest(cluster)
    return backup
  })
}

function failed(because: string): Problem {
  return new Problem('BACKUP_FAILED', 'no snapshot of etcd could be taken', {
    because,
    now: 'nothing was changed',
    hint: 'etcd has to be well on one control plane at least: npx nx run bootstrap:health',
  })
}

async function streamSnapshot(
  { cluster, talosctl }: BackupTools,
  path: string,
): Promise<{ machine: string; said: string }> {
  const reasons: string[] = []
  for (const { name, address } of cluster.controlPlanes)
    try {
      const { stdout } = await talosctl.ask([address], ['etcd', 'snapshot', path], {
        timeoutMs: snapshotMs,
      })
      return { machine: name, said: stdout }
    } catch (error) {
      reasons.push(`${name}: ${talosReason(error)}`)
    }
  throw failed(reasons.join('\n'))
}

/** What tells this cluster from every other: it is made with the first data that etcd ever holds. */
export async function readIdentity({ get }: Pick<WritableKubernetes, 'get'>): Promise<string> {
  const { metadata } = JSON.parse(await get('/api/v1/namespaces/kube-system')) as {
    metadata: { uid: string }
  }
  return metadata.uid
}

/** etcd's revision: it grows with every write, and a snapshot brings its own along. */
export async function readRevision({ get }: Pick<WritableKubernetes, 'get'>): Promise<number> {
  const { metadata } = JSON.parse(await get('/api/v1/namespaces?limit=1')) as {
    metadata: { resourceVersion: string }
  }
  return Number(metadata.resourceVersion)
}

async function readVersion({ get }: Pick<WritableKubernetes, 'get'>): Promise<string> {
  return (JSON.parse(await get('/version')) as { gitVersion: string }).gitVersion
}

/** The backups of a cluster that were verified when they were taken, newest first. */
export async function listBackups(cluster: Cluster): Promise<Backup[]> {
  const files = generatedFiles(cluster)
  const names = await readdir(files.path(folder)).catch(() => [])
  const found = await Promise.all(
    names
      .filter((name) => name.endsWith('.json'))
      .map(async (name) => {
        try {
          return [JSON.parse((await files.read(`${folder}/${name}`)) ?? '') as Backup]
        } catch {
          return []
        }
      }),
  )
  return found.flat().sort((one, other) => other.takenAt.localeCompare(one.takenAt))
}

/** A backup by its file's name, the newest without one, checked once more. Throws BACKUP_UNUSABLE. */
export async function chooseBackup(
  cluster: Cluster,
  secrets: Pick<PublicSecrets, 'digest'>,
  name?: string,
): Promise<Backup & { readonly path: string }> {
  const all = await listBackups(cluster)
  const wanted = name?.replace(/^.*\//, '')
  const backup = wanted === undefined ? all[0] : all.find(({ file }) => file === wanted)
  const files = generatedFiles(cluster)
  const refuse = (because: string): Problem =>
    new Problem('BACKUP_UNUSABLE', `${wanted ?? backup?.file ?? 'no backup'} cannot be restored`, {
      because,
      now: 'nothing was changed',
      hint:
        all.length === 0
          ? `put a snapshot with its .json into ${files.path(folder)}`
          : `choose another with --snapshot: ${all.map(({ file }) => file).join(', ')}`,
    })
  if (backup === undefined)
    throw refuse(`there is no such verified snapshot in ${files.path(folder)}`)
  if (backup.cluster !== cluster.name) throw refuse(`it is of cluster ${backup.cluster}`)
  if (backup.secrets !== secrets.digest)
    throw refuse('it was taken when the cluster had other secrets than those in secrets.yaml')
  const { KUBERNETES_VERSION: kubernetes } = cluster.settings
  if (semver.lt(`${minorOf(kubernetes)}.0`, `${minorOf(backup.kubernetes)}.0`))
    throw refuse(
      `Kubernetes ${backup.kubernetes} wrote it, and KUBERNETES_VERSION=${kubernetes} is older`,
    )
  const path = files.path(folder, backup.file)
  const { sha256 } = await checkSnapshot(path).catch((error: unknown) => {
    throw refuse(reasonOf(error) ?? 'it cannot be read')
  })
  if (sha256 !== backup.sha256) throw refuse('its bytes are not those that were written')
  return { ...backup, path }
}

function descriptionOf(file: string): string {
  return file.replace(/\.db$/, '.json')
}

/** What a killed run left without a description goes with those that are as old. */
async function dropOldest(cluster: Cluster): Promise<void> {
  const files = generatedFiles(cluster)
  const all = await listBackups(cluster)
  const oldest = all[kept - 1]
  if (oldest === undefined) return
  const left = (await readdir(files.path(folder))).filter(
    (name) => name.endsWith('.db') && name < oldest.file && !all.some(({ file }) => file === name),
  )
  for (const file of [...all.slice(kept).map(({ file }) => file), ...left]) {
    await files.remove(`${folder}/${descriptionOf(file)}`)
    await files.remove(`${folder}/${file}`)
  }
}
