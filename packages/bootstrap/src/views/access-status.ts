import { X509Certificate } from 'node:crypto'
import { generatedFiles, type Cluster } from '@talosmith/core'
import { parseKubeconfig } from '@talosmith/clients/kubernetes'
import {
  checkKubeconfig,
  checkTalosconfig,
  readTalosconfig,
  type AccessProblem,
} from '../generated/access.ts'
import { readSecrets, type PublicSecrets } from '../generated/secrets.ts'

/** An access file and how long its certificate is good for. */
export interface AccessFile {
  readonly name: 'talosconfig' | 'kubeconfig'
  readonly path: string
  /** ISO 8601; undefined: there is no certificate to read. */
  readonly expires: string | undefined
  readonly fault: AccessProblem | undefined
}

/** Looks at both access files; asks nobody. */
export async function observeAccessFiles(cluster: Cluster): Promise<AccessFile[]> {
  const files = generatedFiles(cluster)
  const secrets = await readSecrets(cluster)
  const look = async (
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
      fault: missing ?? (secrets === undefined ? undefined : await check(cluster, secrets)),
    }
  }
  return Promise.all([
    look(
      'talosconfig',
      (text) => Buffer.from(readTalosconfig(text).context.crt, 'base64').toString(),
      checkTalosconfig,
    ),
    look('kubeconfig', (text) => parseKubeconfig(text).certificate, checkKubeconfig),
  ])
}

/** A file that can't be read has its fault; its date is then not known. */
function expiryOf(certificate: () => string): string | undefined {
  try {
    return new Date(new X509Certificate(certificate()).validTo).toISOString()
  } catch {
    return undefined
  }
}
