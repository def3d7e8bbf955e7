import { Problem, waitFor, type Log } from '@talosmith/core'
import { patiently, type KubeObject, type Kubernetes } from './kubernetes.ts'
import { testClaimName, testLabel, testPrefix } from './names.ts'
import { pollEveryMs, type VolumeObject } from './test-run.ts'

const removalMs = 60_000
/** Things of tests go by themselves too, one after the other: what is gone already is as well. */
const gently = ['--wait=false', '--ignore-not-found']

/** What there is of tests, of whichever run. */
export interface FoundTests {
  readonly namespaces: readonly string[]
  /** Volumes that the driver made. */
  readonly made: readonly VolumeObject[]
  /** Volumes that are the whole export. */
  readonly exports: readonly VolumeObject[]
}

/** Picks what is of tests out of all namespaces and volumes, by our label; whatever others are called. */
export function findTests(objects: readonly KubeObject[]): FoundTests {
  const spaces = objects.filter(({ kind }) => kind === 'Namespace')
  const tests = spaces.filter(isLabelled)
  const isOfTest = (volume: VolumeObject): boolean => {
    const { namespace = '', name } = volume.spec.claimRef ?? {}
    if (isLabelled(volume) || tests.some(({ metadata }) => metadata.name === namespace)) return true
    // The driver may end making a volume when the claim, and its namespace, are gone already.
    return (
      name === testClaimName &&
      runName.test(namespace) &&
      !spaces.some(({ metadata }) => metadata.name === namespace)
    )
  }
  const volumes = (objects as readonly VolumeObject[]).filter(
    (object) => object.kind === 'PersistentVolume' && isOfTest(object),
  )
  return {
    namespaces: tests
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata }) => metadata.name),
    made: volumes.filter(({ spec }) => spec.csi !== undefined),
    exports: volumes.filter(({ spec }) => spec.csi === undefined),
  }
}

function isLabelled({ metadata }: KubeObject): boolean {
  return metadata.labels?.[testLabel] !== undefined
}

/** As `newRunName` makes them. */
const runName = new RegExp(`^${testPrefix}[a-z]+-[0-9a-f]{6}$`)

/**
 * Removes what tests have made, of this run or of one that was killed. Volumes that the driver made for
 * a test go with their sub-directory: they are marked Delete first, whatever the class says. Returns
 * those volumes; `awaitGone` waits for their end.
 */
export async function removeTests(kubernetes: Kubernetes): Promise<readonly VolumeObject[]> {
  const objects = await kubernetes.get(['namespaces,persistentvolumes'])
  const { namespaces, made, exports } = findTests(objects)
  if (made.length > 0) await markForDeletion(kubernetes, made)
  // Namespaces let five seconds pass before they take their content with them.
  await Promise.all(
    namespaces.map((namespace) =>
      kubernetes.kubectl([
        'delete',
        'pods,persistentvolumeclaims',
        '--all',
        `--namespace=${namespace}`,
        ...gently,
      ]),
    ),
  )
  if (namespaces.length > 0)
    await kubernetes.kubectl(['delete', 'namespace', ...namespaces, ...gently])
  if (exports.length > 0)
    await kubernetes.kubectl([
      'delete',
      'persistentvolume',
      ...exports.map(({ metadata }) => metadata.name),
      ...gently,
    ])
  return made
}

async function markForDeletion(
  kubernetes: Kubernetes,
  volumes: readonly VolumeObject[],
): Promise<void> {
  const names = volumes
    .filter(({ spec }) => spec.persistentVolumeReclaimPolicy !== 'Delete')
    .map(({ metadata }) => `persistentvolume/${metadata.name}`)
  if (names.length === 0) return
  const patch = JSON.stringify({ spec: { persistentVolumeReclaimPolicy: 'Delete' } })
  await kubernetes
    .kubectl(['patch', ...names, '--type=merge', `--patch=${patch}`])
    .catch((error: unknown) => {
      if (!(error instanceof Problem) || !/not found/i.test(error.because ?? '')) throw error
    })
}

/** Volumes go only after the driver has removed their sub-directory, so their end is worth waiting for. */
export async function awaitGone(
  kubernetes: Kubernetes,
  volumes: readonly VolumeObject[],
  log: Log,
): Promise<void> {
  if (volumes.length === 0) return
  const names = volumes.map(({ metadata }) => `persistentvolume/${metadata.name}`)
  const folders = volumes.map(({ spec }) => spec.csi?.volumeHandle?.split('#')[2] ?? 'unknown')
  try {
    await waitFor(
      "the driver to remove the test's sub-directory",
      async () => {
        const left = await patiently(() => kubernetes.get<VolumeObject>(names))
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
