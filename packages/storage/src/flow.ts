/** The flows storage:install and storage:uninstall. */
import {
  applyAll,
  codes,
  generatedFiles,
  notStarted,
  Problem,
  type Change,
  type Cluster,
  type ExitCode,
  type Log,
} from '@talosmith/core'
import { applyStorageChange } from './apply.ts'
import { missingParts } from './driver.ts'
import type { Kubernetes } from '@talosmith/clients/kubernetes'
import { openHelm, type Helm } from './helm.ts'
import { openApi } from './kubernetes.ts'
import { releaseName, storageClassName } from './names.ts'
import { hasAccess, observeClaims, observeStorage } from './observe.ts'
import { checkClaims, planInstall, planUninstall, type StorageChange } from './plan.ts'
import { nfsExport } from './storage-class.ts'
import { removeTests } from './proof/cleanup.ts'

/** What a flow needs of a script. */
export interface FlowContext {
  readonly cluster: Cluster
  readonly log: Log
  readonly dryRun: boolean
  /** Whether CONFIRM names the cluster. */
  readonly confirmed: boolean
  readonly showPlan: (changes: readonly Change[]) => ExitCode
  /** Stand in for the cluster's API and for helm in tests. */
  readonly kubernetes?: Kubernetes
  readonly helm?: Helm
}

/** Installs and verifies storage as configured; removes it when NFS_SERVER was cleared. */
export async function installStorage(context: FlowContext): Promise<ExitCode | void> {
  const { cluster, log, dryRun, showPlan } = context
  const nfs = nfsExport(cluster)
  if (nfs === undefined) return removeUnwanted(context)
  if (dryRun && !(await hasAccess(cluster))) return showPlan(planInstall(cluster, {}))
  const kubernetes = await openStorage(context)
  const helm = context.helm ?? openHelm(cluster)
  const observed = await observeStorage(kubernetes)
  const changes = planInstall(cluster, observed)
  if (dryRun) return showPlan(changes)
  if (changes.length > 0)
    return applyAll(changes, (one) => applyStorageChange(one, { cluster, kubernetes, helm, log }), {
      log,
    })
  log.already(
    `${releaseName} ${cluster.settings.NFS_CSI_VERSION} and ${storageClassName} on ${nfs.server}:${nfs.share} match the settings`,
  )
  for (const missing of missingParts(observed)) log.warn(missing)
}

/** The mirror: StorageClass and release go, refused while claims are open; data stays on the server. */
export async function uninstallStorage(context: FlowContext): Promise<ExitCode | void> {
  const { cluster, log, dryRun, confirmed, showPlan } = context
  if (!(await hasAccess(cluster))) {
    if (dryRun) return showPlan([])
    return log.already('no kubeconfig: no storage to remove')
  }
  const kubernetes = await openStorage(context)
  const helm = context.helm ?? openHelm(cluster)
  let changes: StorageChange[]
  try {
    const [observed, claims] = await Promise.all([
      observeStorage(kubernetes),
      observeClaims(kubernetes),
    ])
    changes = planUninstall(observed)
    if (dryRun) return showPlan(changes)
    if (changes.length > 0) checkClaims(cluster, claims, confirmed)
    // A check that was killed before there was a driver leaves something, too.
    await removeTests(kubernetes)
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== codes.kubernetesUnreachable) throw error
    if (!confirmed || dryRun) throw error
    return log.warn(`${error.message}: what is in the cluster is left as it is`)
  }
  await applyAll(changes, (one) => applyStorageChange(one, { cluster, kubernetes, helm, log }), {
    log,
  })
  if (changes.length === 0) log.already('no storage to remove')
}

/** What an older NFS_SERVER has left in a cluster that is to have no storage. */
export async function observeUnwanted(
  context: Pick<FlowContext, 'cluster' | 'kubernetes'>,
): Promise<StorageChange[]> {
  if (!(await hasAccess(context.cluster))) return []
  return planUninstall(await observeStorage(await openStorage(context)))
}

async function removeUnwanted(context: FlowContext): Promise<ExitCode | void> {
  const { log, dryRun, showPlan } = context
  const changes = await observeUnwanted(context)
  if (changes.length > 0) return uninstallStorage(context)
  if (dryRun) return showPlan([])
  log.already('no NFS_SERVER: no storage')
}

/** The API of a cluster that must have a kubeconfig. */
export async function openStorage({
  cluster,
  kubernetes,
}: Pick<FlowContext, 'cluster' | 'kubernetes'>): Promise<Kubernetes> {
  if (!(await hasAccess(cluster)))
    throw notStarted(cluster, `there is no ${generatedFiles(cluster).path('kubeconfig')}`)
  return kubernetes ?? openApi(cluster)
}
