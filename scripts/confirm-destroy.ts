/** The first stage of cluster:destroy: says all that would go, and ends the chain unless CONFIRM=<cluster>. */
import { refuseReadOnly } from '@talosmith/bootstrap'
import { applyAll, script } from '@talosmith/core'
import { checkHosts } from '@talosmith/vm'
import { applySnapshot, planSnapshot, report } from './destroy/confirm.ts'
import { observeRemains, planWhole } from './destroy/remains.ts'

export default script(import.meta, {
  summary: 'Say what destroying the cluster would take away; needs CONFIRM=<cluster> to go on.',
  changes: true,
  losesData: true,
  options: {
    'final-snapshot': {
      type: 'boolean',
      about: 'take an etcd snapshot first (or FINAL_SNAPSHOT=true)',
      env: 'FINAL_SNAPSHOT',
    },
  },
  async run({ cluster, hosts, log, dryRun, options, confirm, showPlan }) {
    await checkHosts(cluster)
    const remains = await observeRemains(cluster, hosts)
    report(cluster, remains, log)
    const changes = planWhole(cluster, remains)
    const snapshot = options['final-snapshot'] === true ? await planSnapshot(cluster, remains) : []
    if (dryRun) return showPlan([...snapshot, ...changes])
    if (changes.length === 0) return log.already(`nothing to destroy of cluster ${cluster.name}`)
    confirm(changes)
    await refuseReadOnly(cluster, remains.files)
    await applyAll(snapshot, () => applySnapshot(cluster, log), { log })
  },
})
