/** cluster:diagnose: what is wrong with the cluster, what shows it, and what mends it. */
import { exitCodes, script } from '@talosmith/core'

export default script(import.meta, {
  summary:
    'Say what is wrong, with evidence and the command that mends it. Exit code: 0 nothing, 1 something.',
  endsAtOnce: true,
  async run({ cluster, eachHost, json, answer }) {
    for (const host of eachHost()) host.catch(() => undefined)
    const [{ gather }, { findCauses }, { findingsAsJson, renderFindings }] = await Promise.all([
      import('./diagnose/gather.ts'),
      import('./diagnose/find.ts'),
      import('./diagnose/report.ts'),
    ])
    const findings = findCauses(cluster, await gather(cluster, eachHost))
    answer(json ? findingsAsJson(cluster, findings) : renderFindings(cluster, findings))
    const isWell = findings.diagnoses.length + findings.unmet.length === 0
    return isWell ? exitCodes.done : exitCodes.failed
  },
})
