/** The proof that storage works: a real claim, written on one node and read on the others. */
import { randomUUID } from 'node:crypto'
import { commandFor, Problem, reasonOf, type Cluster, type Log } from '@talosmith/core'
import { causeProblem } from '../cause.ts'
import { awaitDriver } from '../driver.ts'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import { testClaimName } from '../names.ts'
import { observeNodes, type StorageNode } from '../nodes.ts'
import { neededExport } from '../storage-class.ts'
import { awaitBound, expand, inspectVolume, testClaim } from './claim.ts'
import { testNamespace, testPod } from './pods.ts'
import { awaitGone, removeTests } from './cleanup.ts'
import { awaitPods, exportVolume, newRunName, type TestWait } from './run.ts'

/** What a proof found: how long each step took, and where it took place. */
export interface Proof {
  readonly boundSeconds: number
  /** From the first pod's creation until it had mounted the volume and written. */
  readonly writtenSeconds: number
  readonly readSeconds: number
  readonly writer: string
  readonly readers: readonly string[]
  /** Whether pods that do not run as root can write, by their fsGroup. */
  readonly writesAsUser: boolean
  /** The claim's own folder on the export; gone again. */
  readonly subDirectory: string
}

const withinMs = 120_000

/** A user that charts often run as; no server has a reason to treat it differently from others. */
const user = 1000

/**
 * Proves storage end to end: a claim is bound, a pod writes through it, pods on the other nodes read
 * that and find it in the claim's sub-directory of the export, and expansion is accepted. Everything is
 * removed afterwards, also what a killed run left. Throws a Problem that names the cause. Warns when only root can
 * write: that is enough for pods that run as root.
 */
export async function proveStorage(
  cluster: Cluster,
  kubernetes: Kubernetes,
  log: Log,
): Promise<Proof> {
  const nfs = neededExport(cluster)
  const [nodes] = await Promise.all([
    observeNodes(cluster, kubernetes),
    removeTests(kubernetes),
    awaitDriver(kubernetes, log, 60_000),
  ])
  const { writer, readers } = chooseNodes(nodes, log)
  const namespace = newRunName('proof')
  const token = randomUUID()
  const wait = { nfs, log, withinMs }
  try {
    const binding = stopwatch()
    await kubernetes.apply([...testNamespace(namespace, 'baseline'), testClaim(namespace)])
    const volumeName = await awaitBound(kubernetes, namespace, wait)
    const boundSeconds = binding()
    const subDirectory = await inspectVolume(kubernetes, volumeName, nfs)

    const claim = { path: '/claim', claim: testClaimName }
    const writing = stopwatch()
    await kubernetes.apply([
      testPod(namespace, {
        name: 'writer',
        node: writer,
        script: `echo ${token} > /claim/proof && cat /claim/proof`,
        mounts: [claim],
      }),
    ])
    await awaitRun(kubernetes, namespace, `${writer} to write through a claim`, wait)
    const writtenSeconds = writing()

    const reading = stopwatch()
    await kubernetes.apply([
      ...exportVolume(namespace, nfs, cluster.settings.NFS_MOUNT_OPTIONS),
      ...readers.map((node) =>
        testPod(namespace, {
          name: `reader-${node}`,
          node,
          script: [
            `grep -qx ${token} /claim/proof || { echo "what ${writer} wrote is not in the claim"; exit 3; }`,
            `grep -qx ${token} '/export/${subDirectory}/proof' || { echo "the claim is not ${subDirectory} on the export"; exit 4; }`,
          ].join('\n'),
          mounts: [claim, { path: '/export', claim: 'export' }],
        }),
      ),
    ])
    await awaitRun(kubernetes, namespace, `${readers.join(', ')} to read it`, wait)
    const readSeconds = reading()
    const writesAsUser = await proveUser(cluster, kubernetes, { namespace, node: writer }, wait)
    await expand(kubernetes, namespace)
    await awaitGone(kubernetes, await removeTests(kubernetes), log)
    return {
      ...{ boundSeconds, writtenSeconds, readSeconds, writer, readers },
      ...{ writesAsUser, subDirectory },
    }
  } catch (error) {
    await removeTests(kubernetes).catch((cause: unknown) =>
      log.warn(`the test's objects could not be removed (${reasonOf(cause)}); the next run does`),
    )
    throw error
  }
}

/**
 * Whether a pod that does not run as root can write to the claim. The driver declares fsGroupPolicy File, so the kubelet
 * gives the claim's folder to the pod's fsGroup, as the node's root. A server that squashes root refuses that; the kubelet
 * only logs it (pkg/volume/volume_linux.go, changeFilePermission), and the pod meets a folder that it may not write to.
 */
async function proveUser(
  cluster: Cluster,
  kubernetes: Kubernetes,
  { namespace, node }: { readonly namespace: string; readonly node: string },
  wait: TestWait,
): Promise<boolean> {
  await kubernetes.apply([
    testPod(namespace, {
      name: 'user',
      node,
      user,
      script: 'echo written > /claim/user && cat /claim/user',
      mounts: [{ path: '/claim', claim: testClaimName }],
    }),
  ])
  const fact = `${node} to write as user ${user}`
  const [cause] = await awaitPods(kubernetes, namespace, { ...wait, fact })
  if (cause === undefined) return true
  if (cause.code !== 'NFS_NOT_WRITABLE')
    throw causeProblem(cause, 'the driver and the StorageClass are there; the test was removed')
  const code = 'NFS_ROOT_ONLY'
  const { server, share } = wait.nfs
  const { NFS_MOUNT_PERMISSIONS: permissions } = cluster.settings
  wait.log.warn(
    `${code}: only pods that run as root can write to claims on ${server}:${share} (${cause.because}): export ${share} with no_root_squash${permissions === '0777' ? '' : `, or let everyone write to each claim with NFS_MOUNT_PERMISSIONS=0777 and ${commandFor(cluster, 'storage:install')}`}`,
  )
  return false
}

/** What a proof found, in a sentence. */
export function describeProof(cluster: Cluster, proof: Proof): string {
  const { server, share } = neededExport(cluster)
  return [
    `Storage works: a claim on ${server}:${share} was bound in ${proof.boundSeconds} s,`,
    `${proof.writer} mounted and wrote in ${proof.writtenSeconds} s,`,
    `${proof.readers.join(', ')} read it in ${proof.readSeconds} s;`,
    proof.writesAsUser
      ? 'pods that do not run as root can write, too; expansion is accepted.'
      : 'only pods that run as root can write; expansion is accepted.',
  ].join(' ')
}

/** The first node that takes workloads writes, all others read; with one node, it does both. */
export function chooseNodes(
  nodes: readonly StorageNode[],
  log: Log,
): { readonly writer: string; readonly readers: readonly string[] } {
  const [writer, ...others] = nodes
    .filter(({ isSchedulable }) => isSchedulable)
    .map(({ name }) => name)
  if (writer === undefined)
    throw new Problem('NO_READY_NODE', 'no node is ready to take workloads', {
      because: nodes.map(({ name }) => name).join(', '),
      hint: 'npx nx run bootstrap:health; kubectl uncordon <node> where one is cordoned',
    })
  if (others.length > 0) return { writer, readers: others }
  log.info(`   only ${writer} takes workloads: it writes and reads`)
  return { writer, readers: [writer] }
}

async function awaitRun(
  kubernetes: Kubernetes,
  namespace: string,
  fact: string,
  wait: TestWait,
): Promise<void> {
  const [cause] = await awaitPods(kubernetes, namespace, { ...wait, fact })
  if (cause !== undefined)
    throw causeProblem(cause, 'the driver and the StorageClass are there; the test was removed')
}

function stopwatch(): () => number {
  const started = performance.now()
  return () => Number(((performance.now() - started) / 1000).toFixed(1))
}
