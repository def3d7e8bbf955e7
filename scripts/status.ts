/** cluster:status: the cluster as it is, from hosts, Talos and Kubernetes; partial when parts are down. */
import { script } from '@talosmith/core'
import { describeCluster } from './status/describe.ts'
import { gather } from './status/gather.ts'
import { renderStatus } from './status/table.ts'

export default script(import.meta, {
  summary: 'Show the cluster as it is, within ten seconds, also when parts of it are down.',
  endsAtOnce: true,
  async run({ cluster, eachHost, json, answer }) {
    const status = describeCluster(cluster, await gather(cluster, eachHost), new Date())
    answer(json ? status : renderStatus(status))
  },
})
