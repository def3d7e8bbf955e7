import { dirname, join } from 'node:path'
import {
  applyAll,
  generatedFiles,
  type Change,
  type Cluster,
  type ExitCode,
  type ScriptContext,
} from '@talosmith/core'
import { secretsFile } from './secrets.ts'

/** A file of the cluster on the operator's machine that a destroy takes away. */
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

/** The note of a regeneration under way; without the cluster it says nothing, and misleads the next one. */
export const regenerationFile = 'regenerating.json'

/** Where the files wait until the machines are gone: with them a destroy that failed half-way can be undone. */
export const removedFolder = 'removed'

// A write that was killed leaves its temporary file, which may hold as much as the file itself.
const access = /^(?:kubeconfig|talosconfig)(?:\.[\w.-]+\.tmp)?$/
const config = new RegExp(
  String.raw`^(?:(?:${secretsFile.replace('.', '\\.')}|secrets\.owner\.json)(?:\.[\w.-]+\.tmp)?|(?:configs|work)/.*)$`,
)

/** The files in `generated/<cluster>`; throws GENERATED_IS_A_LINK when one to be moved, or a folder, is a link. */
export async function observeRemovableFiles(cluster: Cluster): Promise<RemovableFile[]> {
  const files = generatedFiles(cluster)
  const found = (await files.list()).filter(
    ({ name }) =>
      access.test(name) ||
      config.test(name) ||
      name === regenerationFile ||
      name.startsWith(`${removedFolder}/`),
  )
  for (const name of [removedFolder, 'configs', 'work', ...found.map((file) => file.name)])
    await files.has(name)
  return found.sort((a, b) => a.name.localeCompare(b.name))
}

/** Stage 2 of a destroy: kubeconfig and talosconfig are set aside. */
export function planRemoveAccess(cluster: Cluster, seen: readonly RemovableFile[]): RemovalChange[] {
  return seen.filter(({ name }) => access.test(name)).map((file) => setAside(cluster, file))
}

/** Stage 3: secrets and machine configs are set aside, and the note of a regeneration that did not end. */
export function planRemoveConfig(cluster: Cluster, seen: readonly RemovableFile[]): RemovalChange[] {
  return seen
    .filter(({ name }) => config.test(name) || name === regenerationFile)
    .map((file) => setAside(cluster, file))
}

/**
 * Throws GENERATED_NOT_WRITABLE when a folder does not let its files go: at the beginning, for half-way through
 * storage is gone already.
 */
export async function refuseReadOnly(cluster: Cluster, seen: readonly RemovableFile[]): Promise<void> {
  if (seen.length === 0) return
  const files = generatedFiles(cluster)
  for (const folder of new Set(['.', ...seen.map(({ name }) => dirname(name))])) {
    // Named so that, if this is killed, the next destroy takes it along.
    const trial = join(folder, `${secretsFile}.trial.tmp`)
    await files.write(trial, '')
    await files.remove(trial)
  }
}

/** Whether something waits in `removed/`. */
export function hasRemoved(seen: readonly RemovableFile[]): boolean {
  return seen.some(({ name }) => name.startsWith(`${removedFolder}/`))
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

/** Moves one file to `folder`, never over another that waits there: it may be the only way in. */
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
  plan: (cluster: Cluster, seen: readonly RemovableFile[]) => RemovalChange[],
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

/** Leaves no empty folder where files were moved away. */
export async function removeEmptyFolders(cluster: Cluster): Promise<void> {
  const files = generatedFiles(cluster)
  for (const folder of ['configs', 'work'])
    if ((await files.list(folder)).length === 0) await files.remove(folder)
}
