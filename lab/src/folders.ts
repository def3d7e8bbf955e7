import { readdirSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Takes everything out of a folder but the entries whose names start with `kept`. */
export function clearFolder(folder: string, kept: string): void {
  for (const name of readdirSync(folder))
    if (!name.startsWith(kept)) rmSync(join(folder, name), { recursive: true, force: true })
}

/** Takes a folder away that holds nothing; one that is not there, or that somebody uses, is left alone. */
export function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    if (error.code !== 'ENOTEMPTY' && error.code !== 'ENOENT') throw error
  }
}
