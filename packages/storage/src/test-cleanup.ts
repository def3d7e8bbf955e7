import { setTimeout as sleep } from 'node:timers/promises'
import { Problem, reasonOf, type Log } from '@talosmith/core'
import type { Kubernetes } from './kubernetes.ts'
import { testLabel, testPrefix } from './names.ts'
import { pollEveryMs, type VolumeObject } from './test-run.ts'

const removalMs = 60_000
/** Things of tests go by themselves too, one after the other: what is gone already is as well. */
const gently = ['--wait=false', '--ignore-not-found']

/**
 * Removes what tests have made, of this run or of one that was killed. Volumes that the driver made for
 * a test go with their sub-directory: they are marked Delete first, whatever the class says. Returns
 * those volumes; `awaitGone` waits for their end.
 */
export async function removeTests(kubernetes: Kubernetes): Promise<VolumeObject[]> {
  const objects = await kubernetes.get<VolumeObject>(['namespaces,persistentvolumes'])
  const namespaces = objects
    .filter(
      ({ kind, metadata }) =>
        kind === 'Namespace' &&
        metadata.labels?.[testLabel] !== undefined &&
        metadata.deletionTimestamp === undefined,
    )
    .map(({ metadata }) => metadata.name)
  const volumes = objects.filter(
    ({ kind, spec }) =>
      kind === 'PersistentVolume' && spec.claimRef?.namespace?.startsWith(testPrefix),
  )
  const made = volumes.filter(({ spec }) => spec.csi !== undefined)
  const exports = volumes.filter(({ spec }) => spec.csi === undefined)
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
  const until = performance.now() + removalMs
  while (performance.now() < until) {
    const left = await kubernetes.get(names).catch((error: unknown) => [reasonOf(error)])
    if (left.length === 0) return
    await sleep(pollEveryMs)
  }
  const folders = volumes.map(({ spec }) => spec.csi?.volumeHandle?.split('#')[2] ?? 'unknown')
  log.warn(
    `the driver has not removed the test's sub-directory (${folders.join(', ')}); the next run tries again`,
  )
}
