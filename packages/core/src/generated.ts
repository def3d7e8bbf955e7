import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { Problem } from './problem.ts'

/** The files of one cluster on the operator's machine: folders 0700, files 0600, writes atomic. */
export interface Generated {
  path(...parts: string[]): string
  has(name: string): Promise<boolean>
  read(name: string): Promise<string | undefined>
  /** Written whole or not at all: a temporary name first, then renamed. */
  write(name: string, text: string | Uint8Array): Promise<void>
  remove(name: string): Promise<void>
}

/**
 * The files below `generated/<cluster>`. Every folder on the way is checked: a symbolic link in it
 * is refused (GENERATED_IS_A_LINK), so that a planted one can't lead secrets elsewhere.
 */
export function generatedFiles({ generated: root }: { readonly generated: string }): Generated {
  const path = (...parts: string[]): string => join(root, ...parts)
  const checked = async (name: string): Promise<string> => {
    const full = path(name)
    if (relative(root, full).startsWith('..'))
      throw new Problem('GENERATED_OUTSIDE', `${name} lies outside ${root}`)
    for (const part of [root, ...foldersBetween(root, full), full]) await refuseLink(part)
    return full
  }
  return {
    path,
    async has(name) {
      return (await stats(await checked(name))) !== undefined
    },
    async read(name) {
      const full = await checked(name)
      try {
        return await readFile(full, 'utf8')
      } catch (error) {
        if (isMissing(error)) return undefined
        throw error
      }
    },
    async write(name, text) {
      const full = await checked(name)
      const temporary = `${full}.${randomUUID()}.tmp`
      try {
        await mkdir(dirname(full), { recursive: true, mode: 0o700 })
        const file = await open(
          temporary,
          constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY,
          0o600,
        )
        try {
          await file.writeFile(text)
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(temporary, full)
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => undefined)
        throw new Problem('GENERATED_NOT_WRITABLE', `could not write ${full}`, {
          cause: error,
          hint: `make ${root} writable for you, then run the same command again`,
        })
      }
    },
    async remove(name) {
      await rm(await checked(name), { force: true, recursive: true })
    },
  }
}

function foldersBetween(root: string, full: string): string[] {
  const parts = relative(root, dirname(full)).split('/').filter(Boolean)
  return parts.map((_, index) => join(root, ...parts.slice(0, index + 1)))
}

async function refuseLink(path: string): Promise<void> {
  if ((await stats(path))?.isSymbolicLink())
    throw new Problem('GENERATED_IS_A_LINK', `${path} is a symbolic link`, {
      because:
        'secrets are kept in real folders and files only, so that a link cannot lead them elsewhere',
      hint: `look where it points (ls -l ${path}), remove it, then run the same command again`,
    })
}

async function stats(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ENOENT' || error.code === 'ENOTDIR')
  )
}
