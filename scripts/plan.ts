/** cluster:plan: everything that would change, part by part; changes nothing. */
import { script } from '@talosmith/core'

export default script(import.meta, {
  summary:
    'Show everything that would change, part by part. Exit code: 0 nothing, 2 changes, 1 something stands in the way.',
  async run(context) {
    const { cluster, json, answer, eachHost } = context
    // Hosts are connected while the parts are still being loaded; who asks for them later sees failures.
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
