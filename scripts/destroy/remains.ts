import { generatedFiles, type Change, type Cluster, type Host } from '@talosmith/core'
import {
  hasRemoved,
  observeRemovableFiles,
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
  readonly hosts: readonly ObservedHost[]
}

/** Looks at everything side by side. */
export async function observeRemains(
  cluster: Cluster,
  hosts: () => Promise<readonly Host[]>,
): Promise<Remains> {
  const [files, notes, storage, seen] = await Promise.all([
    observeRemovableFiles(cluster),
    observeNotes(cluster),
    observeRemoval({ cluster }),
    hosts().then((opened) => observeHosts(cluster, opened)),
  ])
  return { storage, files, notes, hosts: seen }
}

/** What notes where machines were made: worth nothing without them. */
export async function observeNotes(cluster: Cluster): Promise<RemovableFile[]> {
  const all = await generatedFiles(cluster).list()
  return all.filter(({ name }) => name === hostsFile)
}

/** All that the stages of a destroy would do, in their order. */
export function planWhole(cluster: Cluster, { storage, files, notes, hosts }: Remains): Change[] {
  const home = [...planRemoveAccess(cluster, files), ...planRemoveConfig(cluster, files)]
  return [
    ...storage.changes,
    ...home,
    ...planDestroy(cluster, hosts),
    ...planRemoveSeeds(
      cluster,
      hosts.map((seen) => withoutMachines(cluster, seen)),
    ),
    ...(home.length > 0 ? [removal(cluster)] : []),
    ...planLast(cluster, home.length > 0 ? [] : files, notes),
  ]
}

/** What the last stage does: nothing while anything of the cluster is left on a host. */
export function planLast(
  cluster: Cluster,
  files: readonly RemovableFile[],
  notes: readonly RemovableFile[],
): Change[] {
  const removed = hasRemoved(files) ? [removal(cluster)] : []
  return [...removed, ...notes.map((note) => forget(cluster, note))]
}

/** What the stages before the last one have left on the hosts. */
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
    summary: `Remove what was set aside: generated/${name}/${removedFolder}`,
    risk: 'data-loss',
  }
}
