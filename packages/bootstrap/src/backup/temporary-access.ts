/** Access to Talos where there is no talosconfig, or no secrets.yaml but the one that is stored with a backup. */
import { relative } from 'node:path'
import { openTalosctl, type Talosctl } from '@talosmith/clients/talos'
import { commandFor, type Cluster } from '@talosmith/core'
import { renderTalosconfig } from '../config/machine-config.ts'
import { checkTalosconfig, completeTalosconfig } from '../secrets/access.ts'
import {
  parseSecrets,
  readSecrets,
  secretsFile,
  unreadableSecrets,
  type PublicSecrets,
} from '../secrets/secrets.ts'
import { withWorkFolder } from '../generated/work-folder.ts'

/**
 * Runs `work` with access by the cluster's secrets, or, without secrets.yaml, by those `kept` with a backup; undefined:
 * there are none. Leaves no talosconfig behind. Throws SECRETS_UNREADABLE.
 */
export async function withTemporaryAccess<T>(
  cluster: Cluster,
  kept: string | undefined,
  work: (talosctl: Talosctl, secrets: PublicSecrets) => Promise<T>,
): Promise<T | undefined> {
  const own = await readSecrets(cluster)
  const secrets = own ?? (kept === undefined ? undefined : readKept(cluster, kept))
  if (secrets === undefined) return undefined
  const tool = await openTalosctl(cluster)
  const problem = await checkTalosconfig(cluster, secrets)
  if (problem === undefined || problem === 'expiring') return work(tool, secrets)
  return withWorkFolder(cluster, async (folder) => {
    const text = await renderTalosconfig(cluster, tool, own === undefined ? kept : undefined)
    await folder.write('talosconfig', completeTalosconfig(cluster, text))
    const path = relative(cluster.generated, folder.path('talosconfig'))
    return work(await openTalosctl(cluster, path), secrets)
  })
}

/** Refused before a restore has removed anything: put back with the backup, they would be of no use. */
function readKept(cluster: Cluster, kept: string): PublicSecrets {
  try {
    return parseSecrets(kept)
  } catch {
    throw unreadableSecrets(
      `the ${secretsFile} that is stored with the backup`,
      `recover the secrets (${commandFor(cluster, 'bootstrap:recover-secrets')}), or choose another backup with --snapshot`,
    )
  }
}
