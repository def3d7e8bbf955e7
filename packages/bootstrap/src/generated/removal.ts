/** Moves the generated files of a destroyed cluster aside. */
import { dirname, join } from 'node:path'
import {
  applyAll,
  generatedFiles,
  regenerationFile,
  restoreFile,
  type Change,
  type Cluster,
  type ExitCode,
  type ScriptContext,
} from '@talosmith/core'
import { secretsFile } from '../secrets/secrets.ts'

/** A generated file that a destroy moves to removed/. */
export interface RemovalChange extends Change {
  readonly kind: 'set-aside'
  /** The file's name in the cluster's folder. */
  readonly target: string
}

/** A file in `generated/<cluster>`. */
export interface RemovableFile {
  readonly name: string
  readonly bytes: number
}

const records = [regenerationFile, restoreFile]

/** Keeps the files until the machines are gone, so that a destroy that failed midway can be undone. */
export const removedFolder = 'removed'

/** The folder that keeps old files which are replaced at this time. */
export function archiveFolder(now: Date = new Date()): string {
  return `archive/${now.toISOString().replaceAll(':', '-')}`
}

// A write that was killed leaves its temporary file, which may hold as much as the file itself.
const access = /^(?:kubeconfig|talosconfig)(?:\.[\w.-]+\.tmp)?$/
const config = new RegExp(
  String.raw`^(?:(?:${secretsFile.replace('.', '\\.')}|secrets\.owner\.json)(?:\.[\w.-]+\.tmp)?|(?:configs|work)/.*)$`,
)

/** The files in `generated/<cluster>` that a destroy removes; throws GENERATED_IS_A_LINK when one to be moved, or a folder, is a link. */
export async function observeRemovableFiles(cluster: Cluster): Promise<RemovableFile[]> {
  const files = generatedFiles(cluster)
  const found = (await files.list()).filter(
    ({ name }) =>
      access.test(name) ||
      config.test(name) ||
      records.includes(name) ||
      name.startsWith(`${removedFolder}/`),
  )
  for (const name of [removedFolder, 'configs', 'work', ...found.map((file) => file.name)])
    await files.has(name)
  return found.sort((a, b) => a.name.localeCompare(b.name))
}

/** Stage 2 of a destroy: kubeconfig and talosconfig are set aside. */
export function planRemoveAccess(
  cluster: Cluster,
  observed: readonly RemovableFile[],
): RemovalChange[] {
  return observed.filter(({ name }) => access.test(name)).map((file) => setAside(cluster, file))
}

/** Stage 3: secrets and machine configs are set aside, and the record of a regeneration or restore that did not end. */
export function planRemoveConfig(
  cluster: Cluster,
  observed: readonly RemovableFile[],
): RemovalChange[] {
  return observed
    .filter(({ name }) => config.test(name) || records.includes(name))
    .map((file) => setAside(cluster, file))
}

/**
 * Throws GENERATED_NOT_WRITABLE when files of a folder cannot be removed. Checked first: midway, storage is
 * already gone.
 */
export async function refuseReadOnly(
  cluster: Cluster,
  observed: readonly RemovableFile[],
): Promise<void> {
  if (observed.length === 0) return
  const files = generatedFiles(cluster)
  for (const folder of new Set(['.', ...observed.map(({ name }) => dirname(name))])) {
    // Named so that, the next destroy removes it if this run is killed.
    const trial = join(folder, `${secretsFile}.trial.tmp`)
    await files.write(trial, '')
    await files.remove(trial)
  }
}

/** Whether there are files in `removed/`. */
export function hasRemoved(observed: readonly RemovableFile[]): boolean {
  return observed.some(({ name }) => name.startsWith(`${removedFolder}/`))
}

function setAside({ name: cluster }: Cluster, { name, bytes }: RemovableFile): RemovalChange {
  return {
    kind: 'set-aside',
    target: name,
    summary: `Set aside generated/${cluster}/${name}`,
    from: bytes < 1024 ? `${bytes} bytes` : `${Math.round(bytes / 1024)} KiB`,
    risk: 'data-loss',
  }
}

/** Moves one file to `folder`, never over another file there: that may hold the only access to the cluster. */
export async function applyRemoval(
  cluster: Cluster,
  { target }: RemovalChange,
  folder: string = removedFolder,
): Promise<void> {
  const files = generatedFiles(cluster)
  const text = await files.read(target)
  for (let count = 1; ; count += 1) {
    const place = `${folder}/${target}${count === 1 ? '' : `.${count}`}`
    const there = await files.read(place)
    if (there === undefined) return files.move(target, place)
    if (there === text) return files.remove(target)
  }
}

type Context = Pick<
  ScriptContext<Record<never, never>>,
  'cluster' | 'log' | 'dryRun' | 'showPlan' | 'confirm'
>

/** Sets the files of one stage aside. */
export async function removeFiles(
  { cluster, log, dryRun, showPlan, confirm }: Context,
  plan: (cluster: Cluster, observed: readonly RemovableFile[]) => RemovalChange[],
  nothing: string,
): Promise<ExitCode> {
  const changes = plan(cluster, await observeRemovableFiles(cluster))
  if (dryRun) return showPlan(changes)
  confirm(changes)
  await applyAll(changes, (change) => applyRemoval(cluster, change), { log })
  await removeEmptyFolders(cluster)
  if (changes.length === 0) log.already(nothing)
  return 0
}

/** Removes folders that are empty after their files were moved. */
export async function removeEmptyFolders(cluster: Cluster): Promise<void> {
  const files = generatedFiles(cluster)
  for (const folder of ['configs', 'work'])
    if ((await files.list(folder)).length === 0) await files.remove(folder)
}
