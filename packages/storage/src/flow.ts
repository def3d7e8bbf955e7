import {
  applyAll,
  commandFor,
  generatedFiles,
  Problem,
  type Change,
  type Cluster,
  type ExitCode,
  type Log,
} from '@talosmith/core'
import { applyChange } from './apply.ts'
import { missingParts } from './driver.ts'
import { openKubernetes, type Kubernetes } from './kubernetes.ts'
import { markerFile, releaseName, storageClassName } from './names.ts'
import { observeClaims, observeMarks, observeStorage } from './observe.ts'
import { checkClaims, planInstall, planUninstall, type StorageChange } from './plan.ts'
import { nfsExport } from './storage-class.ts'

/** What a flow needs of a script. */
export interface FlowContext {
  readonly cluster: Cluster
  readonly log: Log
  readonly dryRun: boolean
  /** Whether CONFIRM names the cluster. */
  readonly confirmed: boolean
  readonly showPlan: (changes: readonly Change[]) => ExitCode
  /** Stands in for kubectl and helm in tests. */
  readonly kubernetes?: Kubernetes
}

/** Storage as the settings ask: installed and proven, or, NFS_SERVER cleared, removed. */
export async function installStorage(context: FlowContext): Promise<ExitCode | void> {
  const { cluster, log, dryRun, showPlan } = context
  const nfs = nfsExport(cluster)
  const { installedBefore, hasAccess } = await observeMarks(cluster)
  if (nfs === undefined) {
    if (installedBefore) return uninstallStorage(context)
    if (dryRun) return showPlan([])
    return log.already('no NFS_SERVER: no storage')
  }
  if (!hasAccess && dryRun) return showPlan(planInstall(cluster, {}))
  const kubernetes = openStorage(context, hasAccess)
  const seen = await observeStorage(kubernetes)
  const changes = planInstall(cluster, seen)
  if (dryRun) return showPlan(changes)
  if (changes.length > 0) {
    // Before the first change: a run that is killed must not leave storage that nobody knows of.
    await generatedFiles(cluster).write(markerFile, `${JSON.stringify(nfs)}\n`)
    return applyAll(changes, (one) => applyChange(one, { cluster, kubernetes, log }), { log })
  }
  if (!installedBefore) await generatedFiles(cluster).write(markerFile, `${JSON.stringify(nfs)}\n`)
  log.already(
    `${releaseName} ${cluster.settings.NFS_CSI_VERSION} and ${storageClassName} on ${nfs.server}:${nfs.share} are as asked`,
  )
  for (const missing of missingParts(seen)) log.warn(missing)
}

/** The mirror: StorageClass and release go, refused while claims are open; data stays on the server. */
export async function uninstallStorage(context: FlowContext): Promise<ExitCode | void> {
  const { cluster, log, dryRun, confirmed, showPlan } = context
  const { hasAccess } = await observeMarks(cluster)
  if (!hasAccess) {
    if (dryRun) return showPlan([])
    return log.already('no kubeconfig: no storage to remove')
  }
  const kubernetes = openStorage(context, hasAccess)
  let changes: StorageChange[]
  try {
    const [seen, claims] = await Promise.all([
      observeStorage(kubernetes),
      observeClaims(kubernetes),
    ])
    changes = planUninstall(seen)
    if (dryRun) return showPlan(changes)
    if (changes.length > 0) checkClaims(cluster, claims, confirmed)
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'KUBERNETES_UNREACHABLE') throw error
    if (!confirmed || dryRun) throw error
    return log.warn(`${error.message}: what is in the cluster is left as it is`)
  }
  await applyAll(changes, (one) => applyChange(one, { cluster, kubernetes, log }), { log })
  await generatedFiles(cluster).remove(markerFile)
  if (changes.length === 0) log.already('no storage to remove')
}

/** kubectl and helm for a cluster that must have a kubeconfig. */
export function openStorage(
  { cluster, kubernetes }: Pick<FlowContext, 'cluster' | 'kubernetes'>,
  hasAccess: boolean,
): Kubernetes {
  if (!hasAccess)
    throw new Problem(
      'ACCESS_FILE_MISSING',
      `${generatedFiles(cluster).path('kubeconfig')} is not there`,
      {
        because: 'bootstrap:start writes it, and has not run for this cluster',
        hint: commandFor(cluster, 'bootstrap:start'),
      },
    )
  return kubernetes ?? openKubernetes(cluster)
}
