/** Regenerates a cluster's secrets in steps that an interrupted run can continue. */
import {
  applyAll,
  generatedFiles,
  regenerationFile,
  withLock,
  type Change,
  type Cluster,
  type Log,
} from '@talosmith/core'
import {
  applyRemoval,
  archiveFolder,
  observeRemovableFiles,
  planRemoveAccess,
  planRemoveConfig,
  removeEmptyFolders,
  type RemovalChange,
} from './removal.ts'
import { identifySecrets, isOfSecrets, secretsFile, type SecretsId } from '../secrets/secrets.ts'
import { unlessLocked } from './unless-locked.ts'

/** The record of a regeneration that has not ended: where the old secrets are, and whether the machines are new. */
export interface Regeneration {
  /** The folder of the old secrets and access files, below the cluster's own. */
  readonly archive: string
  readonly machinesAreNew: boolean
  /** Digest of the new secrets; undefined: there are none yet. */
  readonly secrets?: string
  /** Digest of their CAs. */
  readonly caDigest?: string
}

/** The regeneration that the record names; undefined: there is no record, or none that can be read. */
export async function readRegeneration(cluster: Cluster): Promise<Regeneration | undefined> {
  const record = (await generatedFiles(cluster).readJson(regenerationFile)) as
    Regeneration | null | undefined
  return /^archive\/[\w.-]+$/.test(record?.archive ?? '') ? (record ?? undefined) : undefined
}

/**
 * The regeneration under way, which the next run continues; undefined: none is, or what exists now is not what
 * it left: then its record is `stale`, and continuing would regenerate nothing.
 */
export async function findRegeneration(
  cluster: Cluster,
): Promise<{ readonly underWay?: Regeneration; readonly stale?: Regeneration }> {
  const record = await readRegeneration(cluster)
  if (record === undefined) return {}
  const text = await generatedFiles(cluster).read(secretsFile)
  const secrets = text === undefined ? undefined : identifySecrets(text)
  const left = await observeRemovableFiles(cluster)
  const exists = [...planRemoveAccess(cluster, left), ...planRemoveConfig(cluster, left)].some(
    ({ target }) => target !== regenerationFile && !/^work\/|\.tmp$/.test(target),
  )
  return isStale(record, { secrets, exists }) ? { stale: record } : { underWay: record }
}

/**
 * Whether a record is of other secrets than those that exist: `secrets` are those in secrets.yaml, `exists` whether
 * there is any file that is only written for a cluster with secrets. Until the machines are new, it never is: the
 * old files, put back or not, are archived.
 */
export function isStale(
  record: Regeneration,
  { secrets, exists }: { readonly secrets: SecretsId | undefined; readonly exists: boolean },
): boolean {
  if (!record.machinesAreNew) return false
  return secrets === undefined ? exists : !isOfSecrets(record, secrets)
}

/** What a run continues, in one sentence. */
export function describeRegeneration({ archive, machinesAreNew }: Regeneration): string {
  return machinesAreNew
    ? `continuing an interrupted regeneration: its old secrets are in ${archive}, its machines were recreated; no further secrets are generated for it`
    : `continuing an interrupted regeneration: old files go to ${archive}, the machines are still to be recreated`
}

/** A regeneration that begins now. */
export function newRegeneration(now: Date = new Date()): Regeneration {
  return { archive: archiveFolder(now), machinesAreNew: false }
}

/** Which secrets, machine configs and access files are moved to the archive. */
export async function planArchive(
  cluster: Cluster,
  { archive, machinesAreNew }: Regeneration,
): Promise<RemovalChange[]> {
  if (machinesAreNew) return []
  const files = await observeRemovableFiles(cluster)
  return (
    [...planRemoveAccess(cluster, files), ...planRemoveConfig(cluster, files)]
      // What a killed run left in its work folder is removed by the next one, this one included: it can't be moved then.
      .filter(({ target }) => target !== regenerationFile && !target.startsWith('work/'))
      .map((change) => ({ ...change, summary: `Archive ${change.target} in ${archive}` }))
  )
}

/** What is lost permanently besides files and machines; once the machines are new, what is left to do. */
export function describeLosses(
  { name }: Cluster,
  { archive, machinesAreNew }: Regeneration,
): Change[] {
  if (machinesAreNew)
    return [
      {
        kind: 'go-on',
        target: name,
        summary: `Continue with the new secrets of ${name} (the old ones are in ${archive}): configure, start and verify the new machines`,
        risk: 'none',
      },
    ]
  const losses = {
    'cluster identity': `Give up the identity of cluster ${name}: every certificate authority`,
    'access files': 'Invalidate every existing kubeconfig and talosconfig',
    'service account tokens':
      "Invalidate the service account tokens of workloads, and lose etcd's data",
  }
  return Object.entries(losses).map(([target, summary]) => ({
    kind: 'lose',
    target,
    summary,
    risk: 'data-loss',
  }))
}

/** Records the regeneration, then moves the old files to the archive. */
export async function archiveSecrets(
  cluster: Cluster,
  regeneration: Regeneration,
  changes: readonly RemovalChange[],
  log: Log,
): Promise<void> {
  await writeRecord(cluster, regeneration)
  const move = (change: RemovalChange): Promise<void> =>
    applyRemoval(cluster, change, regeneration.archive)
  await applyAll(changes, move, { log })
  await removeEmptyFolders(cluster)
}

/** Records that the machines are new: from here on an interrupted run continues with them. */
export async function noteNewMachines(
  cluster: Cluster,
  regeneration: Regeneration,
): Promise<Regeneration> {
  const next = { ...regeneration, machinesAreNew: true }
  await writeRecord(cluster, next)
  return next
}

/** Records which secrets are the new ones of a regeneration, if one is under way. */
export async function noteNewSecrets(
  cluster: Cluster,
  { digest, ...ca }: SecretsId,
): Promise<void> {
  const record = await readRegeneration(cluster)
  if (record?.machinesAreNew === true)
    await writeRecord(cluster, { ...record, secrets: digest, ...ca })
}

/**
 * Removes the record of a regeneration once the cluster has been healthy, whichever command completed it: the next
 * regeneration is then a new one. While another run has the lock, the record is that run's.
 */
export async function endAfterHealth(
  cluster: Cluster,
  log: Log,
  lock: typeof withLock = withLock,
): Promise<void> {
  if ((await readRegeneration(cluster)) === undefined) return
  await unlessLocked(cluster, lock, async () => {
    const record = await readRegeneration(cluster)
    if (record === undefined) return
    await endRegeneration(cluster)
    log.info(
      `   the interrupted regeneration of secrets is complete: ${record.machinesAreNew ? `the old secrets are in ${record.archive}` : 'the cluster runs with the secrets in secrets.yaml'}`,
    )
  })
}

/** Removes the record of the regeneration; the archive stays. */
export async function endRegeneration(cluster: Cluster): Promise<void> {
  await generatedFiles(cluster).remove(regenerationFile)
}

async function writeRecord(cluster: Cluster, regeneration: Regeneration): Promise<void> {
  await generatedFiles(cluster).write(regenerationFile, `${JSON.stringify(regeneration)}\n`)
}
