/** cluster:restore: recreates the control planes on empty disks and restores etcd from a backup; needs CONFIRM=<cluster>. */
import { findBackup, forgetDestroyed, planRestore, restoreEtcd } from '@talosmith/bootstrap'
import { script, type Change } from '@talosmith/core'
import { recreateMachines } from '@talosmith/vm'

export default script(import.meta, {
  summary:
    'Recreate the control planes on empty disks from an etcd backup; needs CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  options: {
    snapshot: { type: 'string', about: 'name of the backup; the newest by default' },
  },
  async run(context) {
    const { cluster, dryRun, showPlan } = context
    const backup = await findBackup(context)
    const names = new Set(cluster.controlPlanes.map(({ name }) => name))
    if (dryRun) {
      const planned: Change[] = []
      const collect = (changes: readonly Change[]) => {
        planned.push(...changes)
        return 0 as const
      }
      await recreateMachines({ ...context, showPlan: collect }, names)
      return showPlan([...planned, ...planRestore(cluster, backup)])
    }
    // If this run is killed, cluster:up must not create a new cluster on the new machines.
    if (backup.bringsSecrets && context.confirmed) await forgetDestroyed(cluster)
    await recreateMachines(context, names)
    return restoreEtcd({ ...context, options: { snapshot: backup.file } })
  },
})
