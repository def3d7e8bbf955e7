/** Ends what an interrupted flow has left, unless that flow runs now. */
import { Problem, type Cluster, type withLock } from '@talosmith/core'

/** Runs `work` under the cluster's lock, for bootstrap:health; does nothing while another run holds it. */
export async function unlessLocked(
  cluster: Cluster,
  lock: typeof withLock,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await lock(cluster, 'bootstrap:health', work)
  } catch (error) {
    if (!(error instanceof Problem && error.code === 'LOCKED')) throw error
  }
}
