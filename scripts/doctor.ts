/** cluster:doctor: whether everything that cluster:up needs is there; with --orphans what nobody asks for any more. */
import { exitCodes, script } from '@talosmith/core'
import { renderChecks, type Check } from './doctor/check.ts'
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
    quick: {
      type: 'boolean',
      about: 'only what cluster:up cannot begin without; says nothing when nothing is missing',
    },
  },
  async run(context) {
    const { cluster, hosts, log, json, answer } = context
    const { orphans: onlyOrphans = false, quick = false } = context.options
    if (!onlyOrphans) {
      const all = await runChecks(context, { quick })
      const isMissing = ({ verdict }: Check): boolean => verdict === 'missing'
      const checks = quick ? all.filter(isMissing) : all
      if (json) answer({ cluster: cluster.name, checks })
      else if (checks.length > 0) answer(renderChecks(checks))
      return all.some(isMissing) ? exitCodes.failed : exitCodes.done
    }
    const known = await knownClusters(cluster, (text) => log.warn(text))
    const orphans = await findOrphans(cluster, await hosts(), known)
    answer(json ? orphans : renderOrphans(orphans))
    return orphans.length === 0 ? exitCodes.done : exitCodes.failed
  },
})
