/** The access files, talosconfig and kubeconfig, as cluster:status shows them. */
import { X509Certificate } from 'node:crypto'
import { generatedFiles, type Cluster } from '@talosmith/core'
import { parseKubeconfig } from '@talosmith/clients/kubernetes'
import { certificateIn } from '@talosmith/clients/talos'
import {
  checkKubeconfig,
  checkTalosconfig,
  readTalosconfig,
  type AccessProblem,
} from '../secrets/access.ts'
import { readSecrets, type PublicSecrets } from '../secrets/secrets.ts'

/** An access file and until when its certificate is valid. */
export interface AccessFile {
  readonly name: 'talosconfig' | 'kubeconfig'
  readonly path: string
  /** ISO 8601; undefined: there is no certificate to read. */
  readonly expires: string | undefined
  readonly problem: AccessProblem | undefined
}

/** Reads both access files, without any network access. */
export async function observeAccessFiles(cluster: Cluster): Promise<AccessFile[]> {
  const files = generatedFiles(cluster)
  const secrets = await readSecrets(cluster)
  const observe = async (
    name: AccessFile['name'],
    certificateOf: (text: string) => string,
    check: (cluster: Cluster, secrets: PublicSecrets) => Promise<AccessProblem | undefined>,
  ): Promise<AccessFile> => {
    const text = await files.read(name)
    const expires = text === undefined ? undefined : expiryOf(() => certificateOf(text))
    const missing = text === undefined ? 'missing' : undefined
    return {
      name,
      path: files.path(name),
      expires,
      problem: missing ?? (secrets === undefined ? undefined : await check(cluster, secrets)),
    }
  }
  return Promise.all([
    observe(
      'talosconfig',
      (text) => certificateIn(readTalosconfig(text).context.crt) ?? '',
      checkTalosconfig,
    ),
    observe('kubeconfig', (text) => parseKubeconfig(text).certificate, checkKubeconfig),
  ])
}

/** When a certificate expires; undefined: it cannot be read. */
function expiryOf(certificate: () => string): string | undefined {
  try {
    return new Date(new X509Certificate(certificate()).validTo).toISOString()
  } catch {
    return undefined
  }
}
