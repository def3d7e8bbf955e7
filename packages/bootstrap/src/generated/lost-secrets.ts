/** Refuses to create secrets for a cluster that had some: machines and backups know only the ones it had. */
import { codes, commandFor, generatedFiles, Problem, quote, type Cluster } from '@talosmith/core'
import { observeKeptFiles } from './destroyed.ts'
import { readRegeneration } from './regeneration.ts'
import { removedFolder } from './removal.ts'
import { ownerFile, readSecrets, secretsFile, type PublicSecrets } from '../secrets/secrets.ts'

/** What generated/<cluster> has of a cluster whose secrets.yaml is not there. */
export interface Traces {
  /** Paths from the cluster's folder of files that exist only where there are, or were, secrets. */
  readonly files: readonly string[]
  /** 'to recreate': a regeneration has archived the secrets; 'recreated': its machines are new, and need new ones. */
  readonly regeneration?: 'to recreate' | 'recreated'
}

/** Written only after secrets.yaml; a destroy and a regeneration move them away. */
const ofThisCluster = new RegExp(
  String.raw`^(?:${ownerFile.replaceAll('.', '\\.')}|talosconfig|kubeconfig|configs/.+)$`,
)

/** Looks for files of a cluster that was configured. What a record attributes to a destroyed cluster does not count. */
export async function observeTraces(cluster: Cluster): Promise<Traces> {
  const [all, kept, record] = await Promise.all([
    generatedFiles(cluster).list(),
    observeKeptFiles(cluster),
    readRegeneration(cluster),
  ])
  const names = all.map(({ name }) => name)
  const files = [
    ...names.filter((name) => ofThisCluster.test(name) || name.startsWith(`${removedFolder}/`)),
    ...kept,
  ].sort()
  if (record === undefined) return { files }
  return { files, regeneration: record.machinesAreNew ? 'recreated' : 'to recreate' }
}

/** Why no secrets may be created; undefined: none were ever created, or a regeneration needs new ones. */
export function judgeTraces(
  cluster: Cluster,
  { files, regeneration }: Traces,
): Problem | undefined {
  // What a regeneration leaves aside is of its old secrets; anything else is of new ones, which were lost as well.
  const telling =
    regeneration === 'recreated' ? files.filter((name) => ofThisCluster.test(name)) : files
  if (telling.length === 0) return undefined
  return new Problem(
    codes.secretsLost,
    `cluster ${cluster.name} was configured before, but its ${secretsFile} is missing`,
    {
      because: `these files belong to it, in ${cluster.generated}: ${grouped(telling).join(', ')}`,
      now: 'nothing was changed; with new secrets, no machine would accept a connection and no backup could be restored',
      hint: waysBack(cluster, { files, ...(regeneration && { regeneration }) }).join('\n'),
    },
  )
}

/** Throws SECRETS_LOST where creating secrets would replace those of a cluster that exists or existed. */
export async function refuseLostSecrets(cluster: Cluster): Promise<void> {
  const problem = judgeTraces(cluster, await observeTraces(cluster))
  if (problem !== undefined) throw problem
}

/** Whether generated/<cluster> has anything of a cluster that exists, or that existed and was not destroyed. */
export async function hasTraces(cluster: Cluster): Promise<boolean> {
  const { files, regeneration } = await observeTraces(cluster)
  if (files.length > 0 || regeneration !== undefined) return true
  return generatedFiles(cluster).has(secretsFile)
}

/** Like readSecrets, but throws SECRETS_LOST unless secrets that are missing may be created. */
export async function readSecretsUnlessLost(cluster: Cluster): Promise<PublicSecrets | undefined> {
  const secrets = await readSecrets(cluster)
  if (secrets === undefined) await refuseLostSecrets(cluster)
  return secrets
}

/** How the cluster gets its secrets back, the likeliest way first. */
function waysBack(cluster: Cluster, { files, regeneration }: Traces): string[] {
  const has = (pattern: RegExp): boolean => files.some((name) => pattern.test(name))
  const confirmed = (target: string): string =>
    `CONFIRM=${cluster.name} ${commandFor(cluster, target)}`
  const isRegenerating = regeneration !== undefined
  return [
    ...(isRegenerating
      ? [`a regeneration was interrupted; continue it: ${confirmed('cluster:regenerate-secrets')}`]
      : []),
    // Other files there may be of a destroy that was given up, of a cluster that has run since.
    ...(has(/^removed\/secrets\.yaml/)
      ? [
          `a destroy was interrupted; continue it: ${confirmed('cluster:destroy')}`,
          `or undo it, while its machines exist: (cd ${quote(cluster.generated)} && mv removed/* .)`,
        ]
      : []),
    `put a copy of ${secretsFile} back into ${cluster.generated}, or recover it from what is left: ${commandFor(cluster, 'bootstrap:recover-secrets')}`,
    ...(has(/^backups\/.*\.secrets\.yaml$/)
      ? [
          `if its machines are gone, restore it from its final backup, which has the secrets: ${confirmed('cluster:restore')}`,
        ]
      : []),
    `if the cluster no longer exists, finish its removal; the next cluster then gets new secrets: ${confirmed('cluster:destroy')}`,
    ...(isRegenerating
      ? []
      : [
          `if nothing has its secrets, recreate its machines (all data in etcd is lost): ${confirmed('cluster:regenerate-secrets')}`,
        ]),
  ]
}

/** 'talosconfig', 'configs/ (4 files)': folders once. */
function grouped(files: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const name of files) {
    const top = name.includes('/') ? `${name.replace(/\/.*$/, '')}/` : name
    counts.set(top, (counts.get(top) ?? 0) + 1)
  }
  return Array.from(counts, ([top, count]) =>
    top.endsWith('/') ? `${top} (${count} file${count === 1 ? '' : 's'})` : top,
  )
}
