/** The record that a cluster was destroyed: the backups and archives that stay do not mean that it exists. */
import { generatedFiles, type Change, type Cluster } from '@talosmith/core'
import { destroyedFile } from '../secrets/secrets.ts'

interface Destroyed {
  /** ISO 8601. */
  readonly destroyedAt: string
  /** The files of the destroyed cluster in backups/ and archive/. */
  readonly files: readonly string[]
}

const kept = /^(?:backups|archive)\//

/** The files in backups/ and archive/ that no record attributes to a destroyed cluster. */
export async function observeKeptFiles(cluster: Cluster): Promise<string[]> {
  const files = generatedFiles(cluster)
  const record = new Set(await readDestroyed(cluster))
  const all = await files.list()
  return all.flatMap(({ name }) => (kept.test(name) && !record.has(name) ? [name] : []))
}

/** Plans the record, where files would look like a cluster that lost its secrets. */
export function planNoteDestroyed(cluster: Cluster, files: readonly string[]): Change[] {
  if (files.length === 0) return []
  return [
    {
      kind: 'note-destroyed',
      target: destroyedFile,
      summary: `Record in generated/${cluster.name}/${destroyedFile} that backups and archives are of a destroyed cluster`,
      risk: 'none',
    },
  ]
}

/** Writes the record, once nothing of the cluster is left on its hosts. */
export async function noteDestroyed(cluster: Cluster, now = new Date()): Promise<void> {
  const files = generatedFiles(cluster)
  const names = (await files.list()).flatMap(({ name }) => (kept.test(name) ? [name] : []))
  const record: Destroyed = { destroyedAt: now.toISOString(), files: names.sort() }
  await files.write(destroyedFile, `${JSON.stringify(record, null, 2)}\n`)
}

/** Removes the record, because the cluster is about to exist again. */
export async function forgetDestroyed(cluster: Cluster): Promise<void> {
  await generatedFiles(cluster).remove(destroyedFile)
}

async function readDestroyed(cluster: Cluster): Promise<readonly string[]> {
  const record = await generatedFiles(cluster).readJson(destroyedFile)
  const files: unknown = (record as Partial<Destroyed> | null | undefined)?.files
  return Array.isArray(files) ? files.map(String) : []
}
