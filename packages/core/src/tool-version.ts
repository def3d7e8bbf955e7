import { readFile, realpath, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { local } from './host/local.ts'

/**
 * What a program says its version is, once asked with `question`; undefined: it does not run, for example
 * because it is another machine's. `noted`: the answer lies beside the program from then on and holds until
 * the file is another one, since asking takes up to 0.2 s. Not for PATH: what a version manager puts there
 * is the same file whatever it stands for.
 */
export async function versionOf(
  path: string,
  question: readonly string[],
  noted: boolean,
): Promise<string | undefined> {
  if (!noted) return ask(path, question)
  const note = join(dirname(path), `.${basename(path)}-version`)
  const file = await identityOf(path)
  const known = await readFile(note, 'utf8').catch(() => '')
  if (known.startsWith(`${file}\n`)) return known.slice(file.length + 1)
  const version = await ask(path, question)
  // A folder that can't be written to costs time, nothing else.
  if (version !== undefined) await writeFile(note, `${file}\n${version}`).catch(() => undefined)
  return version
}

async function ask(path: string, question: readonly string[]): Promise<string | undefined> {
  const { stdout } = await local.$({ nothrow: true, timeoutMs: 10_000 })`${path} ${question}`
  return /v\d+\.\d+\.\d+[\w.+-]*/.exec(stdout)?.[0]
}

/** Which file a path leads to, and in what state. */
async function identityOf(path: string): Promise<string> {
  const { ino, size, mtimeMs, ctimeMs } = await stat(path)
  return [await realpath(path), ino, size, mtimeMs, ctimeMs].join(' ')
}
