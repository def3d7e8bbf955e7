/** The plan of storage, as a part of cluster:plan. */
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

interface Look {
  readonly access: Promise<ObservedAccess | undefined>
  /** Whether the whole cluster is yet to be made. */
  readonly isFresh: Promise<boolean>
}

/** What storage:install would do; from the settings alone while there is no cluster to look at. */
export async function planStoragePart(cluster: Cluster, look: Look): Promise<PartPlan> {
  const isWanted = cluster.settings.NFS_SERVER !== undefined
  const canLook = await hasAccess(cluster)
  // An API that is down would hold every look up for its time limit: it is asked first whether it is there.
  const api = canLook ? (await look.access)?.api : undefined
  const plan = api?.ok === true ? await attempt(() => observePlan(cluster, isWanted)) : undefined
  if (!canLook || (await look.isFresh)) {
    const fresh = await attempt(() => (isWanted ? planStorage(cluster, {}) : []))
    return partOf('storage', [fresh], { changes: fresh.value ?? [] })
  }
  if (plan === undefined) {
    const reason = api?.ok === false ? api.reason : 'the access files could not be read'
    return partOf('storage', [], { unknown: [`driver and StorageClass: ${reason}`] })
  }
  return partOf('storage', [plan], { changes: plan.value ?? [] })
}

async function observePlan(cluster: Cluster, isWanted: boolean): Promise<StorageChange[]> {
  if (!isWanted) return observeUnwanted({ cluster })
  return planStorage(cluster, await observeStorage(await openStorage({ cluster })))
}
