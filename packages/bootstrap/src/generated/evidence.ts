/** What files are left that show which secrets a cluster had. */
import { parseKubeconfig } from '@talosmith/clients/kubernetes'
import { generatedFiles, type Cluster } from '@talosmith/core'
import { readTalosconfig } from './access.ts'
import type { Evidence } from './recovered-secrets.ts'
import { readOwnDigest } from './secrets.ts'

/** Reads the CAs of the access files, and the checksum of the secrets that were created for this cluster. */
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
  const [talosCa, kubernetesCa, digest] = await Promise.all([
    caIn('talosconfig', (text) =>
      Buffer.from(readTalosconfig(text).context.ca, 'base64').toString(),
    ),
    caIn('kubeconfig', (text) => parseKubeconfig(text).ca),
    readOwnDigest(cluster),
  ])
  return {
    ...(talosCa !== undefined && { talosCa }),
    ...(kubernetesCa !== undefined && { kubernetesCa }),
    ...(digest !== undefined && { digest }),
  }
}
