/** What is left of a cluster, and the changes that delete it. */
import {
  clusterIdFile,
  generatedFiles,
  type Change,
  type Cluster,
  type Host,
} from '@talosmith/core'
import {
  hasRemoved,
  observeKeptFiles,
  observeRemovableFiles,
  planNoteDestroyed,
  planRemoveAccess,
  planRemoveConfig,
  removedFolder,
  type RemovableFile,
} from '@talosmith/bootstrap'
import { observeRemoval, type StorageRemoval } from '@talosmith/storage'
import {
  hostsFile,
  observeHosts,
  planDestroy,
  planRemoveSeeds,
  withoutMachines,
  type ObservedHost,
} from '@talosmith/vm'

/** Everything that is left of a cluster, on all its hosts and in `generated/`. */
export interface Remains {
  readonly storage: StorageRemoval
  readonly files: readonly RemovableFile[]
  readonly notes: readonly RemovableFile[]
  /** Backups and archives that stay, and are not recorded to be of a destroyed cluster yet. */
  readonly kept: readonly string[]
  readonly hosts: readonly ObservedHost[]
}

/** Observes everything in parallel. */
export async function observeRemains(
  cluster: Cluster,
  hosts: () => Promise<readonly Host[]>,
): Promise<Remains> {
  const [files, notes, kept, storage, observedHosts] = await Promise.all([
    observeRemovableFiles(cluster),
    observeNotes(cluster),
    observeKeptFiles(cluster),
    observeRemoval({ cluster }),
    hosts().then((opened) => observeHosts(cluster, opened)),
  ])
  return { storage, files, notes, kept, hosts: observedHosts }
}

/**
 * The record of the hosts that machines were created on, useless without machines, and the cluster's ID, last: the
 * next cluster must not be that of another checkout that has the ID.
 */
export async function observeNotes(cluster: Cluster): Promise<RemovableFile[]> {
  const all = await generatedFiles(cluster).list()
  return [hostsFile, clusterIdFile].flatMap((note) => all.filter(({ name }) => name === note))
}

/** Everything that the stages of a destroy would do, in order. */
export function planWhole(
  cluster: Cluster,
  { storage, files, notes, kept, hosts }: Remains,
): Change[] {
  const accessAndConfig = [...planRemoveAccess(cluster, files), ...planRemoveConfig(cluster, files)]
  return [
    ...storage.changes,
    ...accessAndConfig,
    ...planDestroy(cluster, hosts),
    ...planRemoveSeeds(
      cluster,
      hosts.map((host) => withoutMachines(cluster, host)),
    ),
    ...(accessAndConfig.length > 0 ? [removal(cluster)] : []),
    ...planLast(cluster, accessAndConfig.length > 0 ? [] : files, notes, kept),
  ]
}

/** What the last stage does; it runs only when nothing of the cluster is left on the hosts. */
export function planLast(
  cluster: Cluster,
  files: readonly RemovableFile[],
  notes: readonly RemovableFile[],
  kept: readonly string[],
): Change[] {
  const removed = hasRemoved(files) ? [removal(cluster)] : []
  return [
    ...planNoteDestroyed(cluster, kept),
    ...removed,
    ...notes.map((note) => forget(cluster, note)),
  ]
}

/** What the stages before the last one would still have to delete on the hosts. */
export function planUnfinished(cluster: Cluster, hosts: readonly ObservedHost[]): Change[] {
  return [...planDestroy(cluster, hosts), ...planRemoveSeeds(cluster, hosts)]
}

function forget({ name: cluster }: Cluster, { name, bytes }: RemovableFile): Change {
  return {
    kind: 'forget',
    target: name,
    summary: `Remove generated/${cluster}/${name}`,
    from: `${bytes} bytes`,
    risk: 'none',
  }
}

function removal({ name }: Cluster): Change {
  return {
    kind: 'remove-removed',
    target: removedFolder,
    summary: `Delete the files set aside in generated/${name}/${removedFolder}`,
    risk: 'data-loss',
  }
}
