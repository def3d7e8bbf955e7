/** cluster:plan: everything that would change, part by part; changes nothing. */
import { script } from '@talosmith/core'
import { planAll } from './plan/cluster.ts'
import { exitCodeOf, planAsJson, renderReport } from './plan/report.ts'

export default script(import.meta, {
  summary:
    'Show everything that would change, part by part. Exit code: 0 nothing, 2 changes, 1 something stands in the way.',
  async run(context) {
    const { cluster, json, answer } = context
    const parts = await planAll(context)
    answer(json ? planAsJson(cluster.name, parts) : renderReport(cluster.name, parts))
    return exitCodeOf(parts)
  },
})
