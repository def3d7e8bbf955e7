/** cluster:status: the state of the cluster, from its hosts, Talos and Kubernetes; partial when some do not answer. */
import { script } from '@talosmith/core'

export default script(import.meta, {
  summary: 'Show the state of the cluster, within ten seconds, even when parts of it are down.',
  endsAtOnce: true,
  async run({ cluster, eachHost, json, answer }) {
    // Connect to the hosts while the modules load; a failure is reported where the host is used.
    for (const host of eachHost()) host.catch(() => undefined)
    const [{ describeClusterStatus }, { gatherStatus }, { renderClusterStatus }] =
      await Promise.all([
        import('./status/describe.ts'),
        import('./status/gather.ts'),
        import('./status/table.ts'),
      ])
    const status = describeClusterStatus(cluster, await gatherStatus(cluster, eachHost), new Date())
    answer(json ? status : renderClusterStatus(status))
  },
})
