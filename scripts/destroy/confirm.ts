/** What cluster:confirm-destroy reports, and the backup that it takes first. */
import type { Change, Cluster, Log } from '@talosmith/core'
import { findFinalBackup, hasRemoved, planFinalBackup, takeFinalBackup } from '@talosmith/bootstrap'
import { leftToTheMachines } from '@talosmith/storage'
import {
  clusterDomains,
  describeUntouched,
  findOtherHosts,
  refuse,
  strangerProblems,
} from '@talosmith/vm'
import type { Remains } from './remains.ts'

/** The option to take a backup before anything is removed. */
export const finalSnapshot = {
  'final-snapshot': {
    type: 'boolean',
    about: 'back up etcd first (or FINAL_SNAPSHOT=true)',
    env: 'FINAL_SNAPSHOT',
  },
} as const

/**
 * Reports what a destroy leaves alone, and warns about unexpected findings. Throws VM_NOT_OURS before anything is
 * removed when machines of this name are another cluster's.
 */
export function report(cluster: Cluster, { storage, hosts }: Remains, log: Log): void {
  refuse(strangerProblems(cluster, hosts))
  for (const item of describeUntouched(cluster, hosts)) log.info(`   left alone: ${item}`)
  for (const warning of findOtherHosts(cluster, hosts)) log.warn(warning)
  if (storage.unobserved !== undefined) log.warn(leftToTheMachines(storage.unobserved))
}

/**
 * The backup before a destroy, as a change: none if no machine is left, or if the interrupted destroy took it. With
 * a talosconfig in its place, the cluster may have been used since: cluster:up writes it again.
 */
export async function planFirstBackup(cluster: Cluster, remains: Remains): Promise<Change[]> {
  if (!remains.hosts.some((host) => clusterDomains(cluster, host).length > 0)) return []
  const isInterrupted =
    hasRemoved(remains.files) && !remains.files.some(({ name }) => name === 'talosconfig')
  if (isInterrupted && (await findFinalBackup(cluster)) !== undefined) return []
  return [planFinalBackup(cluster)]
}

/** Takes that backup, and logs its path. */
export async function backUpFirst(cluster: Cluster, log: Log): Promise<void> {
  const path = await takeFinalBackup(cluster)
  log.info(`   the backup is ${path}`)
}
