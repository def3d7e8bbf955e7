/** Temporary folders of tests. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folders: string[] = []

/** Creates an empty folder, which is removed when the process exits. */
export function temporaryFolder(purpose: string): string {
  if (folders.length === 0) process.once('exit', removeAll)
  const folder = mkdtempSync(join(tmpdir(), `talosmith-${purpose}-`))
  folders.push(folder)
  return folder
}

function removeAll(): void {
  // A child process of the test may still be writing there.
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
