import type { Change, Cluster, Log } from '@talosmith/core'
import { findFinalBackup, hasRemoved, planFinalBackup, takeFinalBackup } from '@talosmith/bootstrap'
import { leftToTheMachines } from '@talosmith/storage'
import { describeUntouched, findOtherHosts, clusterDomains } from '@talosmith/vm'
import type { Remains } from './remains.ts'

/** Says what a destroy leaves alone, and what is odd about what it finds. */
export function report(cluster: Cluster, { storage, hosts }: Remains, log: Log): void {
  for (const thing of describeUntouched(cluster, hosts)) log.info(`   left alone: ${thing}`)
  for (const warning of findOtherHosts(cluster, hosts)) log.warn(warning)
  if (storage.fault !== undefined) log.warn(leftToTheMachines(storage.fault))
}

/** The last snapshot, as a change: none where no machine is left, or when a destroy that goes on here took it. */
export async function planSnapshot(cluster: Cluster, remains: Remains): Promise<Change[]> {
  if (!remains.hosts.some((seen) => clusterDomains(cluster, seen).length > 0)) return []
  if (hasRemoved(remains.files) && (await findFinalBackup(cluster)) !== undefined) return []
  return [planFinalBackup(cluster)]
}

/** Takes the last snapshot, and says where it is. */
export async function applySnapshot(cluster: Cluster, log: Log): Promise<void> {
  const path = await takeFinalBackup(cluster)
  log.info(`   the backup is ${path}`)
}
