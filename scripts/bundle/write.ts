/** Writes a bundle: an archive with everything about a failure, without secrets. */
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { redactorOf, withWorkFolder } from '@talosmith/bootstrap'
import { generatedFiles, local, type Cluster, type Host } from '@talosmith/core'
import type { Findings } from '../diagnose/find.ts'
import { collectParts } from './parts.ts'

const folder = 'bundles'
const kept = 5

interface Context {
  readonly cluster: Cluster
  readonly eachHost: () => readonly Promise<Host>[]
  readonly signal: AbortSignal
}

/** Writes `generated/<cluster>/bundles/<time>.tar.zst` (0600), redacted; keeps the newest five. */
export async function writeBundle(
  context: Context,
  now = new Date(),
): Promise<{ readonly path: string; readonly findings: Findings | undefined }> {
  const { cluster } = context
  // In the cluster's folder: what a killed run leaves there stays private, and is removed by the next one.
  return withWorkFolder(cluster, async (work) => {
    const redact = await redactorOf(cluster)
    const { parts, findings } = await collectParts({ ...context, workFile: work.path })
    const content = work.path('content')
    for (const { name, text } of parts) {
      const path = join(content, normalize(`/${name}`))
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, redact(text), { mode: 0o600 })
    }
    return { path: await pack(cluster, content, now), findings }
  })
}

/** Uses zstd if it is installed, gzip otherwise. */
async function pack(cluster: Cluster, content: string, now: Date): Promise<string> {
  const files = generatedFiles(cluster)
  const hasZstd = (await local.$({ nothrow: true })`command -v zstd`).exitCode === 0
  const [suffix, option] = hasZstd ? ['tar.zst', '--zstd'] : ['tar.gz', '--gzip']
  const name = `${folder}/${now.toISOString().replaceAll(':', '-')}.${suffix}`
  // Checked first: a folder that is a symbolic link would redirect the archive.
  await files.has(name)
  await mkdir(files.path(folder), { recursive: true, mode: 0o700 })
  const packed = `${content}.${suffix}`
  // Otherwise macOS' tar adds files with extended attributes.
  await local.$({
    env: { COPYFILE_DISABLE: '1' },
  })`umask 077; tar ${option} -C ${content} -cf ${packed} .`
  await local.$`mv -- ${packed} ${files.path(name)}.tmp`
  await chmod(`${files.path(name)}.tmp`, 0o600)
  await rename(`${files.path(name)}.tmp`, files.path(name))
  // Not this one, which is the oldest by name when the clock was fast once.
  const others = (await files.list(folder)).map((one) => one.name).filter((one) => one !== name)
  for (const old of others.sort().slice(0, 1 - kept)) await files.remove(old)
  return files.path(name)
}
