import type { Change, Cluster, Host } from '@talosmith/core'
import {
  hasRemoved,
  observeHomeFiles,
  planRemoveAccess,
  planRemoveConfig,
  removedFolder,
  type HomeFile,
} from '@talosmith/bootstrap'
import { observeRemoval, type StorageRemoval } from '@talosmith/storage'
import {
  observeHosts,
  planDestroy,
  planRemoveSeeds,
  withoutMachines,
  type ObservedHost,
} from '@talosmith/vm'

/** Everything that is left of a cluster, on all its hosts and in `generated/`. */
export interface Remains {
  readonly storage: StorageRemoval
  readonly files: readonly HomeFile[]
  readonly hosts: readonly ObservedHost[]
}

/** Looks at everything side by side. */
export async function observeRemains(
  cluster: Cluster,
  hosts: () => Promise<readonly Host[]>,
): Promise<Remains> {
  const [files, storage, seen] = await Promise.all([
    observeHomeFiles(cluster),
    observeRemoval({ cluster }),
    hosts().then((opened) => observeHosts(cluster, opened)),
  ])
  return { storage, files, hosts: seen }
}

/** All that the stages of a destroy would do, in their order. */
export function planWhole(cluster: Cluster, { storage, files, hosts }: Remains): Change[] {
  const home = [...planRemoveAccess(cluster, files), ...planRemoveConfig(cluster, files)]
  return [
    ...storage.changes,
    ...home,
    ...planDestroy(cluster, hosts),
    ...planRemoveSeeds(
      cluster,
      hosts.map((seen) => withoutMachines(cluster, seen)),
    ),
    ...(home.length > 0 || hasRemoved(files) ? [removal(cluster)] : []),
  ]
}

/** What the last stage does: nothing while anything of the cluster is left on a host. */
export function planLast(cluster: Cluster, files: readonly HomeFile[]): Change[] {
  return hasRemoved(files) ? [removal(cluster)] : []
}

/** What the stages before the last one have left on the hosts. */
export function planUnfinished(cluster: Cluster, hosts: readonly ObservedHost[]): Change[] {
  return [...planDestroy(cluster, hosts), ...planRemoveSeeds(cluster, hosts)]
}

function removal({ name }: Cluster): Change {
  return {
    kind: 'remove-removed',
    target: removedFolder,
    summary: `Remove what was set aside: generated/${name}/${removedFolder}`,
    risk: 'data-loss',
  }
}
