/** cluster:diagnose: what is wrong with the cluster, the evidence, and the commands that fix it. */
import { exitCodes, script } from '@talosmith/core'
import type { Findings } from './diagnose/find.ts'

export default script(import.meta, {
  summary:
    'Show what is wrong, with evidence and the commands that fix it. Exit code: 0 no problems, 1 problems found.',
  endsAtOnce: true,
  async run({ cluster, eachHost, json, answer }) {
    for (const host of eachHost()) host.catch(() => undefined)
    const [
      { gatherObservations },
      { findCauses, isUncertain },
      { findingsAsJson, renderFindings },
    ] = await Promise.all([
      import('./diagnose/gather.ts'),
      import('./diagnose/find.ts'),
      import('./diagnose/report.ts'),
    ])
    const look = async (): Promise<Findings> =>
      findCauses(cluster, await gatherObservations(cluster, eachHost))
    const first = await look()
    // A machine that is short of processors misses a check now and then: that alone is no problem.
    const findings = isUncertain(first) ? await look() : first
    answer(json ? findingsAsJson(cluster, findings) : renderFindings(cluster, findings))
    const isHealthy = findings.diagnoses.length + findings.unmet.length === 0
    return isHealthy ? exitCodes.done : exitCodes.failed
  },
})
