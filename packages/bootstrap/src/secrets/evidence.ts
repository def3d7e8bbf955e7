/** What files are left that show which secrets a cluster had. */
import { parseKubeconfig } from '@talosmith/clients/kubernetes'
import { generatedFiles, type Cluster } from '@talosmith/core'
import { readTalosconfig } from './access.ts'
import type { Evidence } from './recovered-secrets.ts'
import { readOwnRecord } from './secrets.ts'

/** Reads the CAs of the access files, and the record of the secrets that were created for this cluster. */
export async function observeEvidence(cluster: Cluster): Promise<Omit<Evidence, 'machines'>> {
  const files = generatedFiles(cluster)
  const caIn = async (
    name: string,
    read: (text: string) => string,
  ): Promise<string | undefined> => {
    const text = await files.read(name)
    try {
      return text === undefined ? undefined : read(text)
    } catch {
      return undefined
    }
  }
  const [talosCa, kubernetesCa, owner] = await Promise.all([
    // A CA that is no certificate is not this cluster's either.
    caIn('talosconfig', (text) =>
      Buffer.from(readTalosconfig(text).context.ca, 'base64').toString(),
    ),
    caIn('kubeconfig', (text) => parseKubeconfig(text).ca),
    readOwnRecord(cluster),
  ])
  return {
    ...(talosCa !== undefined && { talosCa }),
    ...(kubernetesCa !== undefined && { kubernetesCa }),
    ...(owner !== undefined && { digest: owner.sha256 }),
    ...(owner?.caDigest !== undefined && { caDigest: owner.caDigest }),
  }
}
