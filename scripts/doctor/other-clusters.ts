/** Whether another env file of this checkout gives its machines what this cluster's machines get. */
import {
  codes,
  commandFor,
  findCollisions,
  generatedFiles,
  listClusters,
  regenerationFile,
  restoreFile,
  type Cluster,
} from '@talosmith/core'
import { hostsFile } from '@talosmith/vm'
import type { Check } from './check.ts'

/** Another cluster of this checkout. */
export interface OtherCluster {
  readonly cluster: Cluster
  /** Whether its machines were created, from this checkout; they may be off. */
  readonly exists: boolean
}

/** The clusters of all other env files; one that cannot be read is reported when it is used. */
export async function observeOthers({ root, file, name }: Cluster): Promise<OtherCluster[]> {
  const all = (await listClusters(root)).flatMap(({ cluster }) => cluster ?? [])
  return Promise.all(
    all
      .filter((one) => one.file !== file && one.name !== name)
      .map(async (cluster) => ({ cluster, exists: await exists(cluster) })),
  )
}

async function exists(cluster: Cluster): Promise<boolean> {
  const files = generatedFiles(cluster)
  return (await files.has(hostsFile)) || files.has('kubeconfig')
}

/** Whether the cluster was started, also where it is being restored or gets new secrets: its addresses are fixed. */
export async function wasStarted(cluster: Cluster): Promise<boolean> {
  const files = generatedFiles(cluster)
  for (const name of ['kubeconfig', 'removed/kubeconfig', restoreFile, regenerationFile])
    if (await files.has(name)) return true
  return false
}

/**
 * ADDRESS_TAKEN or MAC_TAKEN: machines that are off take nothing now, and start with their host. A new cluster is
 * refused beside one that exists; one that was started is only warned, as is one whose twin may never be made, or is
 * on other hosts or in another network, which may be separate. Pure.
 */
export function judgeOthers(
  cluster: Cluster,
  others: readonly OtherCluster[],
  { isStarted }: { readonly isStarted: boolean },
): Check[] {
  return others.flatMap((other): Check[] => {
    const found = findCollisions(cluster, other.cluster)
    const [first] = found
    if (first === undefined) return []
    const [own, theirs] = [cluster.settings, other.cluster.settings]
    const mayBeApart =
      own.NETWORK_NAME !== theirs.NETWORK_NAME ||
      own.NETWORK_BRIDGE !== theirs.NETWORK_BRIDGE ||
      !own.LIBVIRT_URI.some((uri) => theirs.LIBVIRT_URI.includes(uri))
    const fails = other.exists && !isStarted && !mayBeApart
    const { name, file } = other.cluster
    const state = other.exists
      ? `cluster ${name} exists, also while its machines are off`
      : `of both clusters, only one can be created`
    const settings = [...new Set(found.map((one) => one.settings[0]))]
    const destroy = `CONFIRM=${name} ${commandFor(other.cluster, 'cluster:destroy')}`
    return [
      {
        area: 'this machine',
        check: 'other clusters',
        verdict: fails ? 'fail' : 'warning',
        code: found.some(({ kind }) => kind === 'address') ? codes.addressTaken : codes.macTaken,
        detail: `${found.map(({ text }) => text).join('; ')}: ${state}`,
        remedy: `change ${settings.join(', ')} in ${isStarted ? `env/${file}.env` : `env/${cluster.file}.env`}${other.exists ? `; or, if ${name} is to go, destroy it first: ${destroy}` : ''}; or, if ${other.exists ? `its host will not return` : `it is not used`}, move env/${file}.env out of env/`,
      },
    ]
  })
}
