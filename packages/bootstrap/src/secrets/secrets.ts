/** The cluster's Talos secrets, and which cluster they belong to. */
import { createHash } from 'node:crypto'
import { certificateIn } from '@talosmith/clients/talos'
import { commandFor, generatedFiles, Problem, type Cluster } from '@talosmith/core'
import { parse } from 'yaml'

/** The cluster's secrets: they give full control over the cluster. */
export const secretsFile = 'secrets.yaml'
/** Names the cluster that the secrets belong to, so that another cluster's are never used by mistake. */
export const ownerFile = 'secrets.owner.json'
/** Records that the cluster was destroyed; destroyed.ts writes it. */
export const destroyedFile = 'destroyed.json'

/** The record of the secrets that a cluster has. */
export interface Owner {
  readonly cluster: string
  readonly sha256: string
  /** Undefined: written before it was recorded. */
  readonly caDigest?: string
  /** SHA-256 of files with the same secrets that were lost: backups may name them. */
  readonly former?: readonly string[]
}

/** What tells secrets from other secrets. */
export interface SecretsId {
  /** SHA-256 of the file. */
  readonly digest: string
  /** SHA-256 of both CA certificates: the same in recovered secrets, whose file has another text. */
  readonly caDigest?: string
}

/** The public part of the secrets: certificates, no keys. */
export interface PublicSecrets extends SecretsId {
  /** PEM of the CA that signs Talos API certificates. */
  readonly talosCa: string
  /** PEM of the CA that signs Kubernetes certificates. */
  readonly kubernetesCa: string
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
    throw unreadableSecrets(
      files.path(secretsFile),
      `restore the file that was created with this cluster; without a copy, move this one elsewhere and recover the secrets: ${commandFor(cluster, 'bootstrap:recover-secrets')}`,
    )
  }
}

/** The problem of a secrets file that holds none. */
export function unreadableSecrets(what: string, hint: string): Problem {
  return new Problem('SECRETS_UNREADABLE', `${what} holds no Talos secrets`, {
    // Not the parser's message: it quotes the line.
    because: 'it is cut short, encrypted, or another kind of file',
    now: 'nothing was changed',
    hint,
  })
}

/** The public part of a secrets file. Throws for a text that holds no secrets. */
export function parseSecrets(text: string): PublicSecrets {
  const { certs } = parse(text) as { certs: Record<'os' | 'k8s', { crt: string }> }
  const [talosCa, kubernetesCa] = [certificateIn(certs.os.crt), certificateIn(certs.k8s.crt)]
  if (talosCa === undefined || kubernetesCa === undefined) throw new Error('not a certificate')
  const caDigest = sha256([talosCa, kubernetesCa].map((pem) => pem.trim()).join('\n'))
  return { talosCa, kubernetesCa, digest: sha256(text), caDigest }
}

/** What tells the secrets in a file from others; by its text alone when it holds none. */
export function identifySecrets(text: string): SecretsId {
  try {
    const { digest, caDigest } = parseSecrets(text)
    return { digest, ...(caDigest !== undefined && { caDigest }) }
  } catch {
    return { digest: sha256(text) }
  }
}

/** Whether a record is of these secrets: by their CAs, or, without them, by the text of the file. */
export function isOfSecrets(
  record: { readonly secrets?: string; readonly caDigest?: string },
  { digest, caDigest }: SecretsId,
): boolean {
  return record.caDigest === undefined || caDigest === undefined
    ? record.secrets === digest
    : record.caDigest === caDigest
}

/** The record of this cluster's secrets, in a folder of generated/<cluster>; undefined: there is none. */
export async function readOwnRecord(cluster: Cluster, folder = '.'): Promise<Owner | undefined> {
  const text = await generatedFiles(cluster).read(`${folder}/${ownerFile}`)
  const owner = text === undefined ? undefined : readOwner(text)
  return owner?.cluster === cluster.name ? owner : undefined
}

function refuseOther(cluster: Cluster, owner: Owner | undefined, digest: string): void {
  const own = owner?.cluster === cluster.name ? [owner.sha256, ...(owner.former ?? [])] : []
  if (own.includes(digest)) return
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

/**
 * Writes secrets where there are none, and the record of their owner: from here on the cluster exists. `recovered`
 * secrets are the lost ones, whose file may have had another text.
 */
export async function writeSecrets(
  cluster: Cluster,
  text: string,
  { recovered = false } = {},
): Promise<void> {
  const files = generatedFiles(cluster)
  if (await files.has(secretsFile)) throw new Error(`${secretsFile} exists`)
  const { digest, ...ca } = identifySecrets(text)
  const lost = recovered ? await readOwnRecord(cluster) : undefined
  const former = lost && [...new Set([...(lost.former ?? []), lost.sha256])]
  const owner: Owner = {
    ...{ cluster: cluster.name, sha256: digest, ...ca },
    ...(former !== undefined && { former: former.filter((one) => one !== digest) }),
  }
  const writeOwner = (): Promise<void> => files.write(ownerFile, `${JSON.stringify(owner)}\n`)
  // Without secrets it shows that they were lost: last for new ones, and never missing for recovered ones.
  if (recovered) await writeOwner()
  else await files.remove(ownerFile)
  await files.write(secretsFile, text)
  if (!recovered) await writeOwner()
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
