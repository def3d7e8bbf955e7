/** Which CAs the secrets of backups had, where a description has only the digest of their file. */
import { generatedFiles, type Cluster } from '@talosmith/core'
import { removedFolder } from './removal.ts'
import { identifySecrets, readOwnRecord, secretsFile } from '../secrets/secrets.ts'

/** The secrets that a backup's description names. */
interface NamedSecrets {
  readonly secrets?: string
  readonly caDigest?: string
}

/** Adds the digest of their CAs to backups that lack it, as far as another file of the cluster tells it. */
export async function withCaDigests<Described extends NamedSecrets>(
  cluster: Cluster,
  backups: readonly Described[],
): Promise<Described[]> {
  if (backups.every(({ caDigest, secrets }) => caDigest !== undefined || secrets === undefined))
    return [...backups]
  const known = new Map(
    backups.flatMap(({ secrets, caDigest }) =>
      secrets === undefined || caDigest === undefined ? [] : [[secrets, caDigest] as const],
    ),
  )
  const learn = (digests: readonly string[], caDigest: string | undefined): void => {
    if (caDigest !== undefined) for (const digest of digests) known.set(digest, caDigest)
  }
  const files = generatedFiles(cluster)
  for (const folder of ['.', removedFolder]) {
    const owner = await readOwnRecord(cluster, folder)
    if (owner !== undefined) learn([owner.sha256, ...(owner.former ?? [])], owner.caDigest)
  }
  const copies = (await files.list()).filter(({ name }) => secretsCopy.test(name))
  for (const { name } of copies) {
    const { digest, caDigest } = identifySecrets((await files.read(name)) ?? '')
    learn([digest], caDigest)
  }
  return backups.map((backup) => {
    const caDigest = backup.caDigest ?? known.get(backup.secrets ?? '')
    return caDigest === undefined ? backup : { ...backup, caDigest }
  })
}

/** secrets.yaml, those that a destroy or a regeneration set aside, and those stored with a backup. */
const secretsCopy = new RegExp(String.raw`(?:^|/|\.)${secretsFile.replace('.', '\\.')}(?:\.\d+)?$`)
