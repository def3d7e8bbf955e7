/** Files that users write: env files and patches. What is in their place may be anything. */
import { lstat, readdir, readFile, stat } from 'node:fs/promises'
import { TextDecoder } from 'node:util'
import { exitCodes, Problem } from './problem.ts'
import { quote } from './process/command.ts'

/** No file that a user writes is larger; a device may have no end. */
const largestBytes = 4 * 1024 * 1024

/**
 * The text of a user's file, without a byte order mark. Throws FILE_UNREADABLE, under the path `shown`, for what is
 * not a readable file of text: a folder, a link that leads nowhere, a pipe, another encoding than UTF-8.
 */
export async function readUserFile(path: string, shown: string): Promise<string> {
  try {
    const found = await stat(path)
    if (found.isDirectory())
      throw unreadable(
        shown,
        'it is a folder',
        `rename it (mv ${quote(shown)} ${quote(`${shown}.old`)}), and write a file`,
      )
    if (!found.isFile())
      throw unreadable(shown, 'it is a pipe, socket or device', `remove ${shown}, and write a file`)
    if (found.size > largestBytes)
      throw unreadable(shown, `it has ${found.size} bytes`, 'check whether it is the right file')
    return decode(await readFile(path), shown)
  } catch (error) {
    throw error instanceof Problem ? error : explain(shown, error)
  }
}

/** The names in a user's folder; undefined when it does not exist. Throws FILE_UNREADABLE for what can't be listed. */
export async function listUserFolder(path: string, shown: string): Promise<string[] | undefined> {
  try {
    return (await readdir(path)).sort()
  } catch (error) {
    if (codeOf(error) === 'ENOENT' && !(await isDanglingLink(path))) return undefined
    throw explain(shown, error)
  }
}

/** Whether there is a folder, or a link to one. */
export async function isUserFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}

async function isDanglingLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  )
}

function decode(bytes: Buffer, shown: string): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (!text.includes('\0')) return text
  } catch {
    // Reported below.
  }
  const isUtf16 =
    (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)
  throw unreadable(
    shown,
    isUtf16 ? 'it is saved as UTF-16' : 'it is not UTF-8 text',
    isUtf16
      ? `save it as UTF-8: iconv -f UTF-16 -t UTF-8 ${quote(shown)}`
      : 'save it as UTF-8 in your editor',
  )
}

function explain(shown: string, error: unknown): Problem {
  const code = codeOf(error)
  if (code === 'ENOENT')
    return unreadable(
      shown,
      'it is a link that leads nowhere',
      `ls -l ${quote(shown)} shows where; correct the link`,
    )
  if (code === 'ELOOP')
    return unreadable(
      shown,
      'it is a link to itself',
      `ls -l ${quote(shown)} shows where; correct the link`,
    )
  if (code === 'ENOTDIR')
    return unreadable(
      shown,
      'it is a file, not a folder',
      `rename it (mv ${quote(shown)} ${quote(`${shown}.old`)})`,
    )
  if (code === 'EACCES' || code === 'EPERM')
    return unreadable(
      shown,
      'permission denied',
      `make it readable for you: chmod u+rX ${quote(shown)}`,
    )
  return unreadable(
    shown,
    error instanceof Error ? error.message : String(error),
    `check it with ls -l ${quote(shown)}`,
  )
}

function unreadable(shown: string, because: string, hint: string): Problem {
  return new Problem('FILE_UNREADABLE', `could not read ${shown}`, {
    because,
    now: 'nothing was changed',
    hint: `${hint}, then run the same command again`,
    exitCode: exitCodes.wrongSetting,
  })
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
