/** The first stage of cluster:destroy: lists everything to be deleted, and stops the chain unless CONFIRM=<cluster>. */
import { refuseReadOnly } from '@talosmith/bootstrap'
import { applyAll, script } from '@talosmith/core'
import { checkHosts } from '@talosmith/vm'
import { backUpFirst, finalSnapshot, planFirstBackup, report } from './destroy/confirm.ts'
import { observeRemains, planWhole } from './destroy/remains.ts'

export default script(import.meta, {
  summary: 'List what destroying the cluster deletes; continues only with CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  options: finalSnapshot,
  async run({ cluster, hosts, log, dryRun, options, confirm, showPlan }) {
    await checkHosts(cluster)
    const remains = await observeRemains(cluster, hosts)
    report(cluster, remains, log)
    const changes = planWhole(cluster, remains)
    const backup = options['final-snapshot'] === true ? await planFirstBackup(cluster, remains) : []
    if (dryRun) return showPlan([...backup, ...changes])
    if (changes.length === 0) return log.already(`nothing of cluster ${cluster.name} to destroy`)
    confirm(changes)
    await refuseReadOnly(cluster, remains.files)
    await applyAll(backup, () => backUpFirst(cluster, log), { log })
  },
})
