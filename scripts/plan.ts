/** cluster:plan: shows what cluster:up and cluster:upgrade would change, part by part; changes nothing. */
import { script } from '@talosmith/core'

export default script(import.meta, {
  summary:
    'Show everything that would change, part by part. Exit code: 0 no changes, 2 changes, 1 a problem blocks the run.',
  async run(context) {
    const { cluster, json, answer, eachHost } = context
    // Connect to the hosts while the modules load; a failure is reported where the host is used.
    for (const host of eachHost()) host.catch(() => undefined)
    const [{ planAll }, { exitCodeOf, planAsJson, renderReport }] = await Promise.all([
      import('./plan/cluster.ts'),
      import('./plan/report.ts'),
    ])
    const parts = await planAll(context)
    answer(json ? planAsJson(cluster.name, parts) : renderReport(cluster, parts))
    return exitCodeOf(parts)
  },
})
