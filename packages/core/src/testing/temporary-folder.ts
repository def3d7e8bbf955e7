import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const made: string[] = []

/** A new empty folder, named after its purpose; it goes when the process ends, however its tests went. */
export function temporaryFolder(purpose: string): string {
  if (made.length === 0) process.once('exit', removeAll)
  const folder = mkdtempSync(join(tmpdir(), `talosmith-${purpose}-`))
  made.push(folder)
  return folder
}

function removeAll(): void {
  // A child that the test left may still be writing there.
  for (const folder of made) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
