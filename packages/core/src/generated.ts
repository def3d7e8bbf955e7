/** The files below generated/<cluster>: private, written atomically, never through links. */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { quote } from './process/command.ts'
import { Problem, reasonOf } from './problem.ts'

/** The generated files of one cluster: folders 0700, files 0600, atomic writes. */
export interface Generated {
  path(...parts: string[]): string
  has(name: string): Promise<boolean>
  /** Undefined: there is no such file. Throws FILE_UNREADABLE. */
  read(name: string): Promise<string | undefined>
  /** A file's content as JSON; undefined: there is none, or it is not JSON, for example cut short. Throws FILE_UNREADABLE. */
  readJson(name: string): Promise<unknown>
  /** Writes a temporary file, then renames it. */
  write(name: string, text: string | Uint8Array): Promise<void>
  remove(name: string): Promise<void>
  /** The files and links below a folder, by their paths from the cluster's folder; none when it does not exist. */
  list(folder?: string): Promise<{ readonly name: string; readonly bytes: number }[]>
  /** The names in a folder, also of folders; none when it does not exist. Throws FILE_UNREADABLE. */
  names(folder: string): Promise<string[]>
  /** Renames a file atomically; does nothing when only `to` exists. */
  move(from: string, to: string): Promise<void>
}

/**
 * The files below `generated/<cluster>`. No folder of a path may be a symbolic link (GENERATED_IS_A_LINK), so
 * that a planted link can't redirect secrets to another place.
 */
export function generatedFiles({ generated: root }: { readonly generated: string }): Generated {
  const path = (...parts: string[]): string => join(root, ...parts)
  const checked = async (name: string): Promise<string> => {
    const full = path(name)
    if (relative(root, full).startsWith('..'))
      throw new Problem('GENERATED_OUTSIDE', `${name} is outside ${root}`)
    for (const part of [root, ...foldersBetween(root, full), full]) await refuseLink(part)
    return full
  }
  const read = async (name: string): Promise<string | undefined> => {
    const full = await checked(name)
    try {
      return await readFile(full, 'utf8')
    } catch (error) {
      if (isMissing(error)) return undefined
      throw notReadable(full, error)
    }
  }
  return {
    path,
    async has(name) {
      return (await stats(await checked(name))) !== undefined
    },
    read,
    async readJson(name) {
      const text = await read(name)
      if (text === undefined) return undefined
      try {
        return JSON.parse(text) as unknown
      } catch {
        return undefined
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
        refuse(root, `write ${full}`)(error)
      }
    },
    async remove(name) {
      const full = await checked(name)
      await rm(full, { force: true, recursive: true }).catch(refuse(root, `remove ${full}`))
    },
    async list(folder = '.') {
      const full = await checked(folder)
      const entries = await readdir(full, { recursive: true, withFileTypes: true }).catch(
        noneIfMissing(full),
      )
      const files = entries.filter((entry) => !entry.isDirectory())
      return Promise.all(
        files.map(async (entry) => {
          const file = join(entry.parentPath, entry.name)
          return { name: relative(root, file), bytes: Number((await stats(file))?.size ?? 0) }
        }),
      )
    },
    async names(folder) {
      const full = await checked(folder)
      return readdir(full).catch(noneIfMissing(full))
    },
    async move(from, to) {
      const [source, target] = [await checked(from), await checked(to)]
      try {
        await mkdir(dirname(target), { recursive: true, mode: 0o700 })
        await rename(source, target)
      } catch (error) {
        if (isMissing(error) && (await stats(target)) !== undefined) return
        refuse(root, `move ${source} to ${target}`)(error)
      }
    },
  }
}

function refuse(root: string, what: string): (cause: unknown) => never {
  return (cause) => {
    throw notWritable(root, what, cause)
  }
}

/** The Problem when a file below `root` can't be written. */
export function notWritable(root: string, what: string, cause: unknown): Problem {
  return new Problem('GENERATED_NOT_WRITABLE', `could not ${what}`, {
    cause,
    hint: `make ${root} writable for you, then run the same command again`,
  })
}

function noneIfMissing(path: string): (error: unknown) => [] {
  return (error) => {
    if (isMissing(error)) return []
    throw notReadable(path, error)
  }
}

/** What can't be read is never taken for what is not there. */
function notReadable(path: string, cause: unknown): Problem {
  return new Problem('FILE_UNREADABLE', `could not read ${path}`, {
    cause,
    because: reasonOf(cause),
    now: 'nothing was changed',
    hint: `ls -ld ${quote(path)} shows what it is; make it readable for you (chmod u+rX; sudo chown, if a run as root wrote it), then run the same command again`,
  })
}

function foldersBetween(root: string, full: string): string[] {
  const parts = relative(root, dirname(full)).split('/').filter(Boolean)
  return parts.map((_, index) => join(root, ...parts.slice(0, index + 1)))
}

async function refuseLink(path: string): Promise<void> {
  if ((await stats(path))?.isSymbolicLink())
    throw new Problem('GENERATED_IS_A_LINK', `${path} is a symbolic link`, {
      because:
        'secrets are written only to real folders and files, because a link could redirect them to another place',
      hint: `check where it points (ls -l ${quote(path)}), remove it, then run the same command again`,
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
