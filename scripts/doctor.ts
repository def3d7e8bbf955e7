/** cluster:doctor: whether everything that cluster:up needs is there; with --orphans what nobody asks for any more. */
import { exitCodes, script } from '@talosmith/core'
import { renderChecks } from './doctor/check.ts'
import { findOrphans, knownClusters, renderOrphans } from './doctor/orphans.ts'
import { runChecks } from './doctor/preflight.ts'

export default script(import.meta, {
  summary:
    'Check that everything cluster:up needs is there. Exit code: 0 nothing is missing, 1 something is.',
  options: {
    orphans: {
      type: 'boolean',
      about: 'only machines, disks, ISOs and folders of ours that no env file asks for',
    },
  },
  async run(context) {
    const { cluster, hosts, log, json, answer } = context
    if (context.options.orphans !== true) {
      const checks = await runChecks(context)
      answer(json ? { cluster: cluster.name, checks } : renderChecks(checks))
      return checks.some(({ verdict }) => verdict === 'missing') ? exitCodes.failed : exitCodes.done
    }
    const known = await knownClusters(cluster, (text) => log.warn(text))
    const orphans = await findOrphans(cluster, await hosts(), known)
    answer(json ? orphans : renderOrphans(orphans))
    return orphans.length === 0 ? exitCodes.done : exitCodes.failed
  },
})
