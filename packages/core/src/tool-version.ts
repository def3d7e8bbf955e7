/** The version of an installed program, cached beside it. */
import { readFile, realpath, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { local } from './host/local.ts'

/**
 * The version that a program prints when run with `args`; undefined when it does not run, for example
 * because it is for another architecture. With `cached` the version is stored beside the program until its
 * file changes, since running it takes up to 0.2 s. Not for programs on PATH: the shim of a version manager
 * stays the same file when the version changes.
 */
export async function versionOf(
  path: string,
  args: readonly string[],
  cached: boolean,
): Promise<string | undefined> {
  if (!cached) return runForVersion(path, args)
  const cacheFile = join(dirname(path), `.${basename(path)}-version`)
  const identity = await identityOf(path)
  const known = await readFile(cacheFile, 'utf8').catch(() => '')
  if (known.startsWith(`${identity}\n`)) return known.slice(identity.length + 1)
  const version = await runForVersion(path, args)
  // Without a writable folder the next call only takes longer.
  if (version !== undefined)
    await writeFile(cacheFile, `${identity}\n${version}`).catch(() => undefined)
  return version
}

async function runForVersion(path: string, args: readonly string[]): Promise<string | undefined> {
  const { stdout } = await local.$({ nothrow: true, timeoutMs: 10_000 })`${path} ${args}`
  return /v\d+\.\d+\.\d+[\w.+-]*/.exec(stdout)?.[0]
}

/** What identifies a file and its content: path, inode, size and times. */
async function identityOf(path: string): Promise<string> {
  const { ino, size, mtimeMs, ctimeMs } = await stat(path)
  return [await realpath(path), ino, size, mtimeMs, ctimeMs].join(' ')
}
