/** cluster:doctor: looks for what is not in order; with --orphans for what no env file asks for. */
import { exitCodes, script } from '@talosmith/core'
import { findOrphans, knownClusters, renderOrphans } from './doctor/orphans.ts'

export default script(import.meta, {
  summary:
    'Look for what is not in order on the hosts of the cluster; exit code 1 when something is found.',
  options: {
    orphans: {
      type: 'boolean',
      about: 'only machines, disks, ISOs and folders of ours that no env file asks for',
    },
  },
  async run({ cluster, hosts, log, json, answer }) {
    const known = await knownClusters(cluster, (text) => log.warn(text))
    const orphans = await findOrphans(cluster, await hosts(), known)
    answer(json ? orphans : renderOrphans(orphans))
    return orphans.length === 0 ? exitCodes.done : exitCodes.failed
  },
})
