/** The cluster's Talos secrets, and which cluster they belong to. */
import { createHash } from 'node:crypto'
import { commandFor, generatedFiles, Problem, type Cluster } from '@talosmith/core'
import { parse } from 'yaml'

/** The cluster's secrets: they give full control over the cluster. */
export const secretsFile = 'secrets.yaml'
/** Names the cluster that the secrets belong to, so that another cluster's are never used by mistake. */
export const ownerFile = 'secrets.owner.json'
/** Records that the cluster was destroyed; destroyed.ts writes it. */
export const destroyedFile = 'destroyed.json'

interface Owner {
  readonly cluster: string
  readonly sha256: string
}

/** The public part of the secrets: certificates, no keys. */
export interface PublicSecrets {
  /** PEM of the CA that signs Talos API certificates. */
  readonly talosCa: string
  /** PEM of the CA that signs Kubernetes certificates. */
  readonly kubernetesCa: string
  readonly digest: string
}

/**
 * Reads the cluster's secrets; undefined when there are none yet. Throws for those of another cluster
 * (SECRETS_OF_ANOTHER_CLUSTER) and for a file that holds none (SECRETS_UNREADABLE).
 */
export async function readSecrets(cluster: Cluster): Promise<PublicSecrets | undefined> {
  const files = generatedFiles(cluster)
  const [text, owner] = [await files.read(secretsFile), await files.read(ownerFile)]
  if (text === undefined) return undefined
  if (owner !== undefined) refuseOther(cluster, readOwner(owner), sha256(text))
  try {
    return parseSecrets(text)
  } catch {
    throw new Problem('SECRETS_UNREADABLE', `${files.path(secretsFile)} holds no Talos secrets`, {
      // Not the parser's message: it quotes the line.
      because: 'it is cut short, encrypted, or another kind of file',
      now: 'nothing was changed',
      hint: `restore the file that was created with this cluster; without a copy, move this one elsewhere and recover the secrets: ${commandFor(cluster, 'bootstrap:recover-secrets')}`,
    })
  }
}

/** The public part of a secrets file. Throws for a text that holds no secrets. */
export function parseSecrets(text: string): PublicSecrets {
  const { certs } = parse(text) as { certs: Record<'os' | 'k8s', { crt: string }> }
  const [talosCa, kubernetesCa] = [decode(certs.os.crt), decode(certs.k8s.crt)]
  return { talosCa, kubernetesCa, digest: sha256(text) }
}

/** SHA-256 of the secrets that were created for this cluster; undefined: there is no record of them. */
export async function readOwnDigest(cluster: Cluster): Promise<string | undefined> {
  const text = await generatedFiles(cluster).read(ownerFile)
  const owner = text === undefined ? undefined : readOwner(text)
  return owner?.cluster === cluster.name ? owner.sha256 : undefined
}

function refuseOther(cluster: Cluster, owner: Owner | undefined, digest: string): void {
  if (owner?.cluster === cluster.name && owner.sha256 === digest) return
  const files = generatedFiles(cluster)
  throw new Problem(
    'SECRETS_OF_ANOTHER_CLUSTER',
    `${files.path(secretsFile)} does not hold the secrets of cluster ${cluster.name}`,
    {
      because:
        owner === undefined || owner.cluster === cluster.name
          ? 'it is not the file that was created for this cluster, or was changed since'
          : `it was created for cluster ${owner.cluster}`,
      now: 'nothing was changed',
      hint: `restore the right ${secretsFile}; if this one is right, remove ${files.path(ownerFile)}`,
    },
  )
}

/** Writes secrets where there are none, and the record of their owner: from here on the cluster exists. */
export async function writeSecrets(cluster: Cluster, text: string): Promise<void> {
  const files = generatedFiles(cluster)
  if (await files.has(secretsFile)) throw new Error(`${secretsFile} exists`)
  const owner: Owner = { cluster: cluster.name, sha256: sha256(text) }
  // The owner last: without secrets it shows that they were lost, also after a run that was killed in between.
  await files.remove(ownerFile)
  await files.write(secretsFile, text)
  await files.write(ownerFile, `${JSON.stringify(owner)}\n`)
  await files.remove(destroyedFile)
}

function readOwner(text: string): Owner | undefined {
  try {
    return JSON.parse(text) as Owner
  } catch {
    return undefined
  }
}

/** SHA-256 of a text, as hex. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function decode(base64: string): string {
  const text = Buffer.from(base64, 'base64').toString()
  if (!text.startsWith('-----BEGIN CERTIFICATE-----')) throw new Error('not a certificate')
  return text
}
