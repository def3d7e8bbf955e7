/** cluster:restore: recreates the control planes on empty disks and restores etcd from a backup; needs CONFIRM=<cluster>. */
import {
  beginRestore,
  describeContinued,
  findBackup,
  findRestore,
  forgetDestroyed,
  planRestore,
  prepareRestore,
  refuseEtcdOnOtherHosts,
  restoreEtcd,
  saveReplacedEtcd,
} from '@talosmith/bootstrap'
import { applyAll, script, type Change } from '@talosmith/core'
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
    const { cluster, dryRun, showPlan, confirm, log } = context
    const backup = await findBackup(context)
    const continued = describeContinued(await findRestore(cluster), backup)
    if (continued !== undefined) log.info(`   ${continued}`)
    const names = new Set(cluster.controlPlanes.map(({ name }) => name))
    const saving = await prepareRestore(cluster, backup)
    const machines: Change[] = []
    const collect = (changes: readonly Change[]) => {
      machines.push(...changes)
      return 0 as const
    }
    // It also checks that they can be created again.
    await recreateMachines({ ...context, dryRun: true, showPlan: collect }, names)
    if (machines.length === 0) await refuseEtcdOnOtherHosts(cluster, backup)
    const changes = [...saving, ...machines, ...planRestore(cluster, backup)]
    if (dryRun) return showPlan(changes)
    // Nothing is lost where no control plane exists.
    if (machines.length > 0) confirm(changes)
    await applyAll(
      saving,
      async () => log.info(`   the backup is ${await saveReplacedEtcd(cluster, backup)}`),
      { log },
    )
    await beginRestore(cluster, backup)
    // If this run is killed, cluster:up must not create a new cluster on the new machines.
    if (backup.bringsSecrets && context.confirmed) await forgetDestroyed(cluster)
    await recreateMachines(context, names)
    return restoreEtcd({ ...context, options: { snapshot: backup.file } })
  },
})
