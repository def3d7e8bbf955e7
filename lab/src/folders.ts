/** Removes folders and their contents. */
import { readdirSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Removes everything in a folder except entries whose names start with `kept`. */
export function clearFolder(folder: string, kept: string): void {
  for (const name of readdirSync(folder))
    if (!name.startsWith(kept)) rmSync(join(folder, name), { recursive: true, force: true })
}

/** Removes an empty folder; one that does not exist or is in use is ignored. */
export function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    if (error.code !== 'ENOTEMPTY' && error.code !== 'ENOENT') throw error
  }
}
