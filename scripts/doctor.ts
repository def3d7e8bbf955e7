/** cluster:doctor: checks that everything cluster:up needs is there; with --orphans, lists what no env file needs any more. */
import { exitCodes, script } from '@talosmith/core'
import { checksAsJson, renderChecks, type Check } from './doctor/check.ts'
import { findOrphans, knownClusters, renderOrphans } from './doctor/orphans.ts'
import { runChecks } from './doctor/preflight.ts'

export default script(import.meta, {
  summary:
    'Check that everything cluster:up needs is there. Exit code: 0 no check failed, 1 some failed.',
  options: {
    orphans: {
      type: 'boolean',
      about: 'only list machines, disks, ISOs and folders of Talosmith that no env file needs',
    },
    quick: {
      type: 'boolean',
      about: 'only what cluster:up cannot start without; prints failed checks and warnings only',
    },
  },
  async run(context) {
    const { cluster, hosts, log, json, answer } = context
    const { orphans: onlyOrphans = false, quick = false } = context.options
    if (!onlyOrphans) {
      const all = await runChecks(context, { quick })
      const hasFailed = ({ verdict }: Check): boolean => verdict === 'fail'
      const checks = quick ? all.filter(({ verdict }) => verdict !== 'ok') : all
      if (json) answer(checksAsJson(cluster.name, checks))
      else if (checks.length > 0) answer(renderChecks(checks))
      return all.some(hasFailed) ? exitCodes.failed : exitCodes.done
    }
    const known = await knownClusters(cluster, (text) => log.warn(text))
    const orphans = await findOrphans(cluster, await hosts(), known)
    answer(json ? orphans : renderOrphans(orphans))
    return orphans.length === 0 ? exitCodes.done : exitCodes.failed
  },
})
