import type { ObservedAccess } from '@talosmith/bootstrap'
import type { Cluster } from '@talosmith/core'
import { observeMarks, observeStorage, openStorage, planStorage } from '@talosmith/storage'
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
  const { installedBefore, hasAccess } = await observeMarks(cluster)
  if (!isWanted && !installedBefore) return partOf('storage', [])
  // An API that is down would hold kubectl up for a minute: it is asked first whether it is there.
  const api = hasAccess ? (await look.access)?.api : undefined
  const seen =
    api?.ok === true
      ? await attempt(() => observeStorage(openStorage({ cluster }, hasAccess)))
      : undefined
  if (!hasAccess || (await look.isFresh)) {
    const plan = await attempt(() => (isWanted ? planStorage(cluster, {}) : []))
    return partOf('storage', [plan], { changes: plan.value ?? [] })
  }
  if (seen === undefined) {
    const reason = api?.ok === false ? api.reason : 'the access files could not be read'
    return partOf('storage', [], { unknown: [`driver and StorageClass: ${reason}`] })
  }
  if (seen.value === undefined) return partOf('storage', [seen])
  const observed = seen.value
  const plan = await attempt(() => planStorage(cluster, observed))
  return partOf('storage', [plan], { changes: plan.value ?? [] })
}
