/** The ID that tells a cluster from another of the same name: random, made once, kept in generated/. */
import { randomUUID } from 'node:crypto'
import { generatedFiles, type Generated } from './generated.ts'
import { Problem } from './problem.ts'

/** The file in `generated/<cluster>` with the ID. A destroy removes it: the next cluster gets another ID. */
export const clusterIdFile = 'cluster-id'

type OfCluster = Parameters<typeof generatedFiles>[0]

const form = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * The ID in `generated/<cluster>`: the file, or, on a computer that has only backups of the cluster, the one in
 * the newest backup. Undefined: there is none yet. Throws CLUSTER_ID_UNREADABLE.
 */
export async function readClusterId(cluster: OfCluster): Promise<string | undefined> {
  const files = generatedFiles(cluster)
  const text = await files.read(clusterIdFile)
  if (text === undefined) return idOfBackups(files)
  const id = text.trim().toLowerCase()
  if (form.test(id)) return id
  throw new Problem('CLUSTER_ID_UNREADABLE', `${files.path(clusterIdFile)} holds no cluster ID`, {
    because: 'it is cut short or was changed',
    now: 'nothing was changed',
    hint: 'restore the file; every machine of the cluster has the same ID in its metadata (virsh dumpxml <machine>: cluster-id)',
  })
}

/**
 * Writes the ID where there is no file: `id`, that of the cluster's machines, or a new random one. The ID in a
 * backup is not taken: without a machine, it is of a cluster that is gone, and another checkout may have it.
 */
export async function keepClusterId(cluster: OfCluster, id?: string): Promise<string> {
  const files = generatedFiles(cluster)
  const kept = (await files.has(clusterIdFile)) ? await readClusterId(cluster) : undefined
  if (kept !== undefined) return kept
  const made = id ?? randomUUID()
  await files.write(clusterIdFile, `${made}\n`)
  return made
}

interface Described {
  readonly clusterId: string
  readonly history: number
  /** Digests of its cluster's secrets. */
  readonly secrets: unknown
  readonly caDigest: unknown
}

/**
 * The ID of the cluster that has the newest data. Each description has the ID of its cluster, and the number of etcd's
 * history, which a restore increases, also into a cluster with another ID, and which only backups of the same secrets
 * share: those of an earlier cluster of the name count for nothing. Within a history backups are named by their time.
 */
async function idOfBackups(files: Generated): Promise<string | undefined> {
  const names = (await files.list('backups')).map(({ name }) => name)
  let newest: Described | undefined
  for (const name of names
    .filter((one) => /\/etcd-[^/]+\.json$/.test(one))
    .sort((one, other) => other.localeCompare(one))) {
    const found = describedIn((await files.read(name)) ?? '')
    if (found === undefined) continue
    if (newest === undefined || (isOfSame(found, newest) && found.history > newest.history))
      newest = found
  }
  return newest?.clusterId
}

function isOfSame(one: Described, other: Described): boolean {
  return one.caDigest === undefined || other.caDigest === undefined
    ? one.secrets === other.secrets
    : one.caDigest === other.caDigest
}

/** Undefined: not a description of a backup, or one from before clusters had IDs. */
function describedIn(text: string): Described | undefined {
  try {
    const { clusterId, history, secrets, caDigest } = JSON.parse(text) as Record<string, unknown>
    if (typeof clusterId !== 'string' || !form.test(clusterId)) return undefined
    const number = Number.isSafeInteger(history) ? Number(history) : 0
    return { clusterId, history: number, secrets, caDigest }
  } catch {
    return undefined
  }
}
