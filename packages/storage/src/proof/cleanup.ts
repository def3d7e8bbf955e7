/** Removes what tests of storage made, of this run or of one that was killed. */
import { Problem, waitFor, type Log } from '@talosmith/core'
import {
  listPath,
  objectPath,
  statusOf,
  type KubeObject,
  type Kubernetes,
  type NamespaceObject,
  type VolumeObject,
} from '@talosmith/clients/kubernetes'
import { notYetIfUnreachable } from '../kubernetes.ts'
import { testClaimName, testLabel, testPrefix } from '../names.ts'
import { pollEveryMs } from './run.ts'

const removalMs = 60_000
/** What there is of tests, of whichever run. */
export interface FoundTests {
  readonly namespaces: readonly string[]
  /** Volumes that the driver made. */
  readonly made: readonly VolumeObject[]
  /** Volumes that are the whole export. */
  readonly exports: readonly VolumeObject[]
}

/** Picks what is of tests out of all namespaces and volumes, by our label; whatever others are called. */
export function findTests(
  namespaces: readonly NamespaceObject[],
  volumes: readonly VolumeObject[],
): FoundTests {
  const tests = namespaces.filter(isLabelled)
  const isOfTest = (volume: VolumeObject): boolean => {
    const { namespace = '', name } = volume.spec?.claimRef ?? {}
    if (isLabelled(volume) || tests.some(({ metadata }) => metadata.name === namespace)) return true
    // The driver may end making a volume when the claim, and its namespace, are gone already.
    return (
      name === testClaimName &&
      runName.test(namespace) &&
      !namespaces.some(({ metadata }) => metadata.name === namespace)
    )
  }
  const ours = volumes.filter(isOfTest)
  return {
    namespaces: tests
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata }) => metadata.name),
    made: ours.filter(({ spec }) => spec?.csi !== undefined),
    exports: ours.filter(({ spec }) => spec?.csi === undefined),
  }
}

function isLabelled({ metadata }: KubeObject): boolean {
  return metadata.labels?.[testLabel] !== undefined
}

/** As `newRunName` makes them. */
const runName = new RegExp(`^${testPrefix}[a-z]+-[0-9a-f]{6}$`)

/**
 * Removes what tests have made, of this run or of one that was killed. Volumes that the driver made for
 * a test go with their sub-directory: their reclaim policy is set to Delete first, whatever the class has. Returns
 * those volumes; `awaitGone` waits for their end.
 */
export async function removeTests(kubernetes: Kubernetes): Promise<readonly VolumeObject[]> {
  const { namespaces, made, exports } = findTests(
    ...(await Promise.all([
      kubernetes.list<NamespaceObject>(listPath('Namespace')),
      kubernetes.list<VolumeObject>(listPath('PersistentVolume')),
    ])),
  )
  await Promise.all(
    made
      .filter(({ spec }) => spec?.persistentVolumeReclaimPolicy !== 'Delete')
      .map((volume) => markForDeletion(kubernetes, volume)),
  )
  // Namespaces let five seconds pass before they take their content with them.
  await Promise.all(
    namespaces.flatMap((namespace) => [
      kubernetes.delete(listPath('Pod', namespace)),
      kubernetes.delete(listPath('PersistentVolumeClaim', namespace)),
    ]),
  )
  await Promise.all([
    ...namespaces.map((namespace) => kubernetes.delete(objectPath('Namespace', namespace))),
    ...exports.map(({ metadata }) =>
      kubernetes.delete(objectPath('PersistentVolume', metadata.name)),
    ),
  ])
  return made
}

/** Ignores a volume that was deleted meanwhile. */
async function markForDeletion(kubernetes: Kubernetes, { metadata }: VolumeObject): Promise<void> {
  const path = objectPath('PersistentVolume', metadata.name)
  await kubernetes
    .patch(path, { spec: { persistentVolumeReclaimPolicy: 'Delete' } })
    .catch((error: unknown) => {
      if (statusOf(error) !== 404) throw error
    })
}

/** Volumes go only after the driver has removed their sub-directory, so their end is worth waiting for. */
export async function awaitGone(
  kubernetes: Kubernetes,
  volumes: readonly VolumeObject[],
  log: Log,
): Promise<void> {
  if (volumes.length === 0) return
  const names = new Set(volumes.map(({ metadata }) => metadata.name))
  const folders = volumes.map(({ spec }) => spec?.csi?.volumeHandle?.split('#')[2] ?? 'unknown')
  try {
    await waitFor(
      "the driver to remove the test's sub-directory",
      async () => {
        const all = await notYetIfUnreachable(() =>
          kubernetes.list<VolumeObject>(listPath('PersistentVolume')),
        )
        const left = all.filter(({ metadata }) => names.has(metadata.name))
        if (left.length > 0)
          throw new Error(left.map(({ status }) => status?.phase ?? 'unknown').join(', '))
      },
      { log, withinMs: removalMs, everyMs: pollEveryMs },
    )
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    log.warn(
      `the driver has not removed the test's sub-directory (${folders.join(', ')}); the next run tries again`,
    )
  }
}
