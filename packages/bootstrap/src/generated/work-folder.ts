/** Temporary private folders in generated/<cluster>. */
import { readdir } from 'node:fs/promises'
import { generatedFiles, isRunning, type Cluster, type Generated } from '@talosmith/core'

/** A private folder for talosctl's output before it is moved to its final path. */
export interface WorkFolder {
  path(name: string): string
  /** What talosctl wrote; throws when it did not. */
  read(name: string): Promise<string>
  write(name: string, text: string): Promise<void>
}

const parent = 'work'
let count = 0

/** Runs `work` with a temporary private folder; removes folders that killed runs have left. */
export async function withWorkFolder<T>(
  cluster: Cluster,
  work: (folder: WorkFolder) => Promise<T>,
): Promise<T> {
  const files = generatedFiles(cluster)
  await removeLeftovers(files)
  const name = `${parent}/${process.pid}-${count++}`
  await files.write(`${name}/.keep`, '')
  try {
    return await work({
      path: (file) => files.path(name, file),
      write: (file, text) => files.write(`${name}/${file}`, text),
      async read(file) {
        const text = await files.read(`${name}/${file}`)
        if (text === undefined) throw new Error(`talosctl wrote no ${file}`)
        return text
      },
    })
  } finally {
    await files.remove(name)
  }
}

async function removeLeftovers(files: Generated): Promise<void> {
  for (const name of await readdir(files.path(parent)).catch(() => []))
    if (!isOfRunningProcess(name)) await files.remove(`${parent}/${name}`)
}

function isOfRunningProcess(folder: string): boolean {
  const pid = Number.parseInt(folder, 10)
  return !Number.isNaN(pid) && isRunning(pid)
}
