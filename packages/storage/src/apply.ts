/** Carries out the changes of a plan. */
import { CommandFailed, Problem, waitFor, type Cluster, type Log } from '@talosmith/core'
import { chartArguments, checkChart, lastErrorLine } from './chart.ts'
import { awaitDriver } from './driver.ts'
import { objectPath, type Kubernetes } from '@talosmith/clients/kubernetes'
import type { Helm } from './helm.ts'
import { notYetIfUnreachable } from './kubernetes.ts'
import * as names from './names.ts'
import { checkNodes } from './proof/node-check.ts'
import { observeStorage } from './observe.ts'
import { fingerprint, isUnfinished, type StorageChange } from './plan.ts'
import { describeProof, proveStorage } from './proof/proof.ts'
import { mountOptionsObject, storageClassObject } from './storage-class.ts'
import { awaitGone, removeTests } from './proof/cleanup.ts'
import { chartValues } from './values.ts'

/** What carrying out a change needs. */
export interface StorageContext {
  readonly cluster: Cluster
  readonly kubernetes: Kubernetes
  readonly helm: Helm
  readonly log: Log
}

const inNamespace = `--namespace=${names.releaseNamespace}`
const storageClass = objectPath('StorageClass', names.storageClassName)

const appliers: Record<StorageChange['kind'], (context: StorageContext) => Promise<unknown>> = {
  'check-chart': ({ cluster, helm }) => checkChart(cluster, helm),
  'check-nodes': ({ cluster, kubernetes, log }) => checkNodes(cluster, kubernetes, log),
  'clear-release': clearRelease,
  'install-release': installRelease,
  async 'create-storage-class'(context) {
    const { wasDefault } = await observeStorage(context.kubernetes)
    await applyStorageClass(context, wasDefault)
  },
  async 'update-storage-class'(context) {
    const { storageClass: updated } = await observeStorage(context.kubernetes)
    await applyStorageClass(context, updated?.isDefault === true ? true : undefined)
  },
  async 'replace-storage-class'(context) {
    const { cluster, kubernetes } = context
    const observed = await observeStorage(kubernetes)
    // The note counts only where the class itself is gone.
    const wasDefault =
      observed.storageClass === undefined
        ? observed.wasDefault
        : observed.storageClass.isDefault || undefined
    if (wasDefault) await kubernetes.apply([mountOptionsObject(cluster, wasDefault)])
    await kubernetes.delete(storageClass)
    await applyStorageClass(context, wasDefault)
  },
  async 'prove-storage'({ cluster, kubernetes, log }) {
    const proof = await proveStorage(cluster, kubernetes, log)
    const annotations = { [names.provenAnnotation]: fingerprint(cluster) }
    await kubernetes.patch(storageClass, { metadata: { annotations } })
    log.info(describeProof(cluster, proof))
  },
  'remove-storage-class': removeStorageClass,
  'remove-release': removeRelease,
  'remove-mount-options': removeMountOptions,
}

/** Carries out one change and waits for its effect; may be repeated. */
export async function applyStorageChange(
  change: StorageChange,
  context: StorageContext,
): Promise<void> {
  await appliers[change.kind](context)
}

/** How long a revision may stay pending before its helm process must have ended. */
const unfinishedMs = 30_000

async function clearRelease({ kubernetes, log }: StorageContext): Promise<void> {
  const cut = await waitFor(
    'another helm to finish',
    async () => {
      const { release } = await notYetIfUnreachable(() => observeStorage(kubernetes))
      if (release === undefined || !isUnfinished(release)) return undefined
      const seconds = Math.round((Date.now() - release.begun.getTime()) / 1000)
      if (seconds * 1000 < unfinishedMs)
        throw new Error(`revision ${release.revision} is ${release.status} since ${seconds} s`)
      return release
    },
    { log, withinMs: 2 * unfinishedMs },
  )
  // Objects of the revision stay; the next helm adopts them by their annotations.
  if (cut !== undefined)
    await kubernetes.delete(objectPath('Secret', cut.record, names.releaseNamespace))
}

/** What an API server under load answers (k8s.io/apiserver pkg/endpoints/handlers/finisher, finishRequest). */
const overloaded = /request did not complete within requested timeout/

async function installRelease(context: StorageContext): Promise<void> {
  const { cluster, kubernetes, helm, log } = context
  const [label] = Object.entries(names.oursLabel).map(([key, value]) => `${key}=${value}`)
  const install = (): Promise<string> =>
    helm(
      [
        'upgrade',
        '--install',
        names.releaseName,
        ...chartArguments(cluster),
        inNamespace,
        '--values=-',
        `--labels=${label ?? ''}`,
        '--history-max=3',
      ],
      JSON.stringify(chartValues(cluster)),
    )
  try {
    await install().catch(async (error: unknown) => {
      if (!(await mayRepeat(error, kubernetes))) throw error
      log.warn('the Kubernetes API was too slow for helm; helm is run once more')
      return install()
    })
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error
    throw new Problem('HELM_FAILED', `helm could not install ${names.releaseName}`, {
      because: lastErrorLine(error),
      cause: error,
      now: 'the StorageClass was not touched',
      hint: 'remove what is in the way, then run the same command again: it carries on',
    })
  }
  await awaitDriver(kubernetes, log, cluster.settings.HEALTH_TIMEOUT * 1000)
}

/**
 * Whether a failed helm may be run again at once: the API server was too slow, and helm has recorded the end of its
 * revision, or none. It continues from a failed one (helm pkg/action/upgrade.go, prepareUpgrade), never from a pending one.
 */
async function mayRepeat(error: unknown, kubernetes: Kubernetes): Promise<boolean> {
  if (!(error instanceof CommandFailed) || !overloaded.test(error.stderr)) return false
  const observed = await observeStorage(kubernetes).catch(() => undefined)
  return (
    observed !== undefined && (observed.release === undefined || !isUnfinished(observed.release))
  )
}

async function applyStorageClass(
  { cluster, kubernetes }: StorageContext,
  wasDefault?: true,
): Promise<void> {
  const isDefault = cluster.settings.NFS_DEFAULT_CLASS ?? wasDefault
  // The Secret first: without it, no claim of the class is provisioned.
  await kubernetes.apply([
    mountOptionsObject(cluster, wasDefault),
    storageClassObject(cluster, isDefault),
  ])
  // Last: from here on the class itself has it.
  if (wasDefault) await kubernetes.apply([mountOptionsObject(cluster)])
}

async function removeStorageClass({ kubernetes }: StorageContext): Promise<void> {
  await kubernetes.delete(storageClass)
}

async function removeRelease({ kubernetes, helm, log }: StorageContext): Promise<void> {
  // The driver is needed to delete their sub-directories on the server.
  await awaitGone(kubernetes, await removeTests(kubernetes), log)
  try {
    await helm(['uninstall', names.releaseName, inNamespace, '--ignore-not-found'])
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error
    throw new Problem('HELM_FAILED', `helm could not remove ${names.releaseName}`, {
      because: lastErrorLine(error),
      cause: error,
      now: 'the data on the server is untouched',
      hint: 'run the same command again: it carries on',
    })
  }
  // Not together with the StorageClass: the volumes of tests were deleted with it.
  await removeMountOptions({ kubernetes })
  await waitFor(
    'the NFS driver to be gone',
    async () => {
      const { release, controller, nodeDriver } = await notYetIfUnreachable(() =>
        observeStorage(kubernetes),
      )
      if (release !== undefined) throw new Error(`release ${release.status}`)
      if (controller !== undefined || nodeDriver !== undefined) throw new Error('its pods end')
    },
    { log, withinMs: 60_000, everyMs: 500 },
  )
}

async function removeMountOptions({
  kubernetes,
}: Pick<StorageContext, 'kubernetes'>): Promise<void> {
  await kubernetes.delete(objectPath('Secret', names.mountOptionsSecret, names.releaseNamespace))
}
