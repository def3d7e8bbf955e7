import { createHash } from 'node:crypto'
import { generatedFiles, Problem, type Cluster } from '@talosmith/core'
import { parse } from 'yaml'
import type { Talosctl } from './talosctl.ts'

/** The file that a cluster lives by: whoever has it can do anything with the cluster. */
export const secretsFile = 'secrets.yaml'
/** Says whose secrets they are, so that another cluster's are never used by mistake. */
const ownerFile = 'secrets.owner.json'

interface Owner {
  readonly cluster: string
  readonly sha256: string
}

/** The secrets that other code looks at; certificates only, no keys. */
export interface PublicSecrets {
  /** PEM of the CA that signs Talos API certificates. */
  readonly talosCa: string
  /** PEM of the CA that signs Kubernetes certificates. */
  readonly kubernetesCa: string
  readonly digest: string
}

/** Reads the cluster's secrets; undefined when there are none yet. Throws for another cluster's. */
export async function readSecrets(cluster: Cluster): Promise<PublicSecrets | undefined> {
  const files = generatedFiles(cluster)
  const [text, ownerText] = [await files.read(secretsFile), await files.read(ownerFile)]
  if (text === undefined) return undefined
  const digest = sha256(text)
  const owner = ownerText === undefined ? undefined : (JSON.parse(ownerText) as Owner)
  if (owner !== undefined && (owner.cluster !== cluster.name || owner.sha256 !== digest))
    throw new Problem(
      'SECRETS_OF_ANOTHER_CLUSTER',
      `${files.path(secretsFile)} does not hold the secrets of cluster ${cluster.name}`,
      {
        because:
          owner.cluster === cluster.name
            ? 'the file was changed after it was made'
            : `they were made for cluster ${owner.cluster}`,
        now: 'nothing was changed',
        hint: `put the right secrets.yaml back; if this one is right, remove ${files.path(ownerFile)}`,
      },
    )
  const { certs } = parse(text) as { certs: Record<'os' | 'k8s', { crt: string }> }
  return { talosCa: decode(certs.os.crt), kubernetesCa: decode(certs.k8s.crt), digest }
}

/** Makes the secrets, once in a cluster's life. */
export async function createSecrets(
  cluster: Cluster,
  talosctl: Talosctl,
  work: string,
): Promise<void> {
  const files = generatedFiles(cluster)
  await talosctl.offline(
    'gen',
    'secrets',
    '--talos-version',
    cluster.settings.TALOS_VERSION,
    '-o',
    files.path(work, 'secrets.yaml'),
  )
  const text = await files.read(`${work}/secrets.yaml`)
  if (text === undefined) throw new Error('talosctl gen secrets wrote nothing')
  const owner: Owner = { cluster: cluster.name, sha256: sha256(text) }
  // The owner first: secrets without one would be taken as they are.
  await files.write(ownerFile, JSON.stringify(owner))
  await files.write(secretsFile, text)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString()
}
