/** Generates the secrets of a new cluster. */
import type { Talosctl } from '@talosmith/clients/talos'
import type { Cluster } from '@talosmith/core'
import { noteNewSecrets } from './regeneration.ts'
import { identifySecrets, secretsFile, writeSecrets } from '../secrets/secrets.ts'
import { withWorkFolder } from './work-folder.ts'

/** Generates the secrets, once in a cluster's life, or when they are regenerated. */
export async function createSecrets(cluster: Cluster, talosctl: Talosctl): Promise<void> {
  const text = await withWorkFolder(cluster, async (folder) => {
    const version = ['--talos-version', cluster.settings.TALOS_VERSION]
    await talosctl.offline('gen', 'secrets', ...version, '--output-file', folder.path(secretsFile))
    return folder.read(secretsFile)
  })
  // First: a record without its secrets is completed by the next run, secrets without it look like others.
  await noteNewSecrets(cluster, identifySecrets(text))
  await writeSecrets(cluster, text)
}
