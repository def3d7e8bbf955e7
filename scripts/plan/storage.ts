/** The storage part of a plan. */
import type { ObservedAccess } from '@talosmith/bootstrap'
import type { Cluster } from '@talosmith/core'
import {
  hasAccess,
  observeStorage,
  observeUnwanted,
  openStorage,
  planStorage,
  type StorageChange,
} from '@talosmith/storage'
import { attempt, partOf } from './attempt.ts'
import type { PartPlan } from './report.ts'

interface Dependencies {
  readonly access: Promise<ObservedAccess | undefined>
  /** Whether the cluster does not exist yet. */
  readonly isFresh: Promise<boolean>
}

/** What storage:install would do; from the settings alone while there is no cluster. */
export async function planStoragePart(
  cluster: Cluster,
  { access, isFresh }: Dependencies,
): Promise<PartPlan> {
  const isWanted = cluster.settings.NFS_SERVER !== undefined
  const hasKubeconfig = await hasAccess(cluster)
  // With an API server that is down, every request would take its whole time limit: check first that it answers.
  const api = hasKubeconfig ? (await access)?.api : undefined
  const plan = api?.ok === true ? await attempt(() => observePlan(cluster, isWanted)) : undefined
  if (!hasKubeconfig || (await isFresh)) {
    const fresh = await attempt(() => (isWanted ? planStorage(cluster, {}) : []))
    return partOf('storage', [fresh], { changes: fresh.value ?? [] })
  }
  if (plan === undefined) {
    const reason = api?.ok === false ? api.reason : 'the access files could not be read'
    // Only what earlier settings may have left: no reason to call the plan incomplete.
    if (!isWanted)
      return partOf('storage', [], {
        notes: [
          `NFS_SERVER is not set; whether a driver is left from before is not known: ${reason}`,
        ],
      })
    return partOf('storage', [], { unknown: [`driver and StorageClass: ${reason}`] })
  }
  return partOf('storage', [plan], { changes: plan.value ?? [] })
}

async function observePlan(cluster: Cluster, isWanted: boolean): Promise<StorageChange[]> {
  if (!isWanted) return observeUnwanted({ cluster })
  return planStorage(cluster, await observeStorage(await openStorage({ cluster })))
}
