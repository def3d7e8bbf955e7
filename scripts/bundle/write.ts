/** Writes a bundle: an archive with everything about a failure, without secrets. */
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { generatedFiles, local, type Cluster, type Host } from '@talosmith/core'
import type { Findings } from '../diagnose/find.ts'
import { collectParts } from './parts.ts'
import { createRedactor, openTexts, secretsIn, type Redactor } from './redact.ts'

const folder = 'bundles'
const kept = 5
/** Files in which every string counts as a secret, except the cluster's own names and addresses. */
const secretFiles = ['secrets.yaml', 'talosconfig', 'kubeconfig']

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
  const work = await mkdtemp(join(tmpdir(), 'talosmith-bundle-'))
  try {
    const redact = await redactorOf(cluster)
    const { parts, findings } = await collectParts({ ...context, work })
    const content = join(work, 'content')
    for (const { name, text } of parts) {
      const path = join(content, normalize(`/${name}`))
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, redact(text), { mode: 0o600 })
    }
    return { path: await pack(cluster, content, now), findings }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function redactorOf(cluster: Cluster): Promise<Redactor> {
  const files = generatedFiles(cluster)
  const texts = await Promise.all(secretFiles.map((name) => files.read(name)))
  const secrets = texts.flatMap((text) => (text === undefined ? [] : secretsIn(text)))
  return createRedactor(secrets, openTexts(cluster))
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
  await local.$`umask 077; tar ${option} -C ${content} -cf ${packed} .`
  await local.$`mv -- ${packed} ${files.path(name)}.tmp`
  await chmod(`${files.path(name)}.tmp`, 0o600)
  await rename(`${files.path(name)}.tmp`, files.path(name))
  const all = (await files.list(folder)).map((one) => one.name).sort()
  for (const old of all.slice(0, -kept)) await files.remove(old)
  return files.path(name)
}
