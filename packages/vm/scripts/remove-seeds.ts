/** vm:remove-seeds: takes the seed ISOs of the cluster away; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { runFlow } from '../src/flow.ts'
import { forgetHosts } from '../src/made-on.ts'
import { clusterDomains } from '../src/place.ts'
import { planRemoveSeeds } from '../src/plan.ts'

export default script(import.meta, {
  summary: 'Take the seed ISOs away, after the machines are gone; needs CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  async run(context) {
    let machinesLeft = true
    const exitCode = await runFlow(context, {
      plan: planRemoveSeeds,
      nothing: 'nothing to remove: no unused seed ISO of this cluster is there',
      needsConfirm: true,
      check(seen) {
        machinesLeft = seen.some((host) => clusterDomains(context.cluster, host).length > 0)
      },
    })
    if (!context.dryRun && !machinesLeft) await forgetHosts(context.cluster)
    return exitCode
  },
})
