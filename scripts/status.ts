/** cluster:status: the cluster as it is, from hosts, Talos and Kubernetes; partial when parts are down. */
import { script } from '@talosmith/core'

export default script(import.meta, {
  summary: 'Show the cluster as it is, within ten seconds, also when parts of it are down.',
  endsAtOnce: true,
  async run({ cluster, eachHost, json, answer }) {
    // Hosts are connected while the parts are still being loaded; who asks for them later sees failures.
    for (const host of eachHost()) host.catch(() => undefined)
    const [{ describeCluster }, { gather }, { renderStatus }] = await Promise.all([
      import('./status/describe.ts'),
      import('./status/gather.ts'),
      import('./status/table.ts'),
    ])
    const status = describeCluster(cluster, await gather(cluster, eachHost), new Date())
    answer(json ? status : renderStatus(status))
  },
})
