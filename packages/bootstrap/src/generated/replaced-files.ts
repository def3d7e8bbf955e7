/** Keeps files of other secrets that are about to be replaced: they may be the last access to their cluster. */
import { generatedFiles, type Cluster, type Log } from '@talosmith/core'
import { parseAllDocuments } from 'yaml'
import { checkKubeconfig, checkTalosconfig, type AccessProblem } from '../secrets/access.ts'
import { applyRemoval, archiveFolder } from './removal.ts'
import type { PublicSecrets } from '../secrets/secrets.ts'

const checks = { talosconfig: checkTalosconfig, kubeconfig: checkKubeconfig }

/** Whether an access file with this problem may be another cluster's, so that it is archived and not overwritten. */
export function isArchived(problem: AccessProblem | undefined): boolean {
  return problem === 'of another CA' || problem === 'unreadable'
}

/** Writes an access file; one that is not of these secrets is moved to the archive first. */
export async function replaceAccess(
  cluster: Cluster,
  name: keyof typeof checks,
  text: string,
  { secrets, log }: { readonly secrets: PublicSecrets | undefined; readonly log: Log },
): Promise<void> {
  const problem = secrets && (await checks[name](cluster, secrets))
  if (isArchived(problem)) await archiveFiles(cluster, [name], log)
  await generatedFiles(cluster).write(name, text)
}

/** Moves machine configs whose CA is not that of `ours`, a config of this cluster, to the archive. */
export async function archiveConfigsOfOthers(
  cluster: Cluster,
  ours: string,
  names: readonly string[],
  log: Log,
): Promise<void> {
  const files = generatedFiles(cluster)
  const ca = caOf(ours)
  const others: string[] = []
  for (const name of names) {
    const text = await files.read(name)
    if (text !== undefined && text !== ours && caOf(text) !== ca) others.push(name)
  }
  await archiveFiles(cluster, others, log)
}

/** The CA of the Talos API in a machine config, also in a worker's; undefined: it cannot be read. */
function caOf(config: string): string | undefined {
  try {
    const ca: unknown = parseAllDocuments(config)[0]?.getIn(['machine', 'ca', 'crt'])
    return typeof ca === 'string' ? ca : undefined
  } catch {
    return undefined
  }
}

async function archiveFiles(cluster: Cluster, names: readonly string[], log: Log): Promise<void> {
  if (names.length === 0) return
  const folder = archiveFolder()
  for (const target of names)
    await applyRemoval(
      cluster,
      { kind: 'set-aside', target, summary: `Archive ${target}`, risk: 'none' },
      folder,
    )
  log.warn(
    `${names.join(', ')}: not of the secrets of ${cluster.name}, kept in ${generatedFiles(cluster).path(folder)}`,
  )
}
