/** Checks from every node that the NFS export can be reached and written to. */
import { commandFor, Problem, type Cluster, type Log } from '@talosmith/core'
import { causeProblem, type Cause } from '../cause.ts'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import { observeNodes } from '../nodes.ts'
import { neededExport } from '../storage-class.ts'
import { removeTests } from './cleanup.ts'
import { testNamespace, testPod } from './pods.ts'
import { awaitPods, exportVolume, newRunName } from './run.ts'

const withinMs = 90_000

/**
 * Checks from every node's own network that the NFS server answers, and then, by a mount that the node
 * makes without the driver, that the export is there and can be written to. Throws a Problem that names
 * the cause and every node that it concerns.
 */
export async function checkNodes(
  cluster: Cluster,
  kubernetes: Kubernetes,
  log: Log,
): Promise<void> {
  const nfs = neededExport(cluster)
  await removeTests(kubernetes)
  const nodes = await observeNodes(cluster, kubernetes)
  for (const { name } of nodes.filter(({ isReady }) => !isReady))
    log.warn(`${name} is not ready, so what it reaches is not known`)
  const ready = nodes.filter(({ isReady }) => isReady).map(({ name }) => name)
  if (ready.length === 0)
    throw new Problem('NO_READY_NODE', `no node of ${cluster.name} is ready`, {
      now: 'nothing was changed',
      hint: commandFor(cluster, 'bootstrap:health'),
    })
  try {
    const reach = newRunName('reach')
    await kubernetes.apply([
      ...testNamespace(reach, 'privileged'),
      ...ready.map((node) =>
        testPod(reach, {
          name: node,
          node,
          // Not -z, which many builds of busybox lack: without input nc ends when it has connected.
          script: `nc -w 5 ${nfs.server} 2049 < /dev/null || { echo "timed out or refused"; exit 1; }`,
          hostNetwork: true,
        }),
      ),
    ])
    const options = { nfs, log, withinMs }
    refuse(
      await awaitPods(kubernetes, reach, {
        ...options,
        fact: `${nfs.server} to answer every node`,
      }),
    )
    const write = newRunName('write')
    await kubernetes.apply([
      ...testNamespace(write, 'baseline'),
      ...exportVolume(write, nfs, cluster.settings.NFS_MOUNT_OPTIONS),
      ...ready.map((node) =>
        testPod(write, {
          name: node,
          node,
          // A folder, because making folders is what the driver does here.
          script: `mkdir /export/.${write}-${node} && rmdir /export/.${write}-${node}`,
          mounts: [{ path: '/export', claim: 'export' }],
        }),
      ),
    ])
    refuse(
      await awaitPods(kubernetes, write, {
        ...options,
        fact: `every node to write to ${nfs.share}`,
      }),
    )
  } finally {
    await removeTests(kubernetes).catch(() => undefined)
  }
}

/** One Problem for all nodes: the first cause's code, and every node's words. */
function refuse(causes: readonly Cause[]): void {
  const [first] = causes
  if (first === undefined) return
  const others = causes.slice(1).map(({ message }) => `also: ${message}`)
  throw causeProblem(
    { ...first, because: [first.because, ...others].join('\n') },
    'neither the driver nor the StorageClass was changed',
  )
}
