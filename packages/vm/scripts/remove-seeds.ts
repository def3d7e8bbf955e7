/** vm:remove-seeds: removes the seed ISOs of the cluster; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { runFlow } from '../src/flow.ts'
import { forgetHosts } from '../src/made-on.ts'
import { clusterDomains } from '../src/place.ts'
import { planRemoveSeeds } from '../src/plan-destroy.ts'

export default script(import.meta, {
  summary: 'Remove the seed ISOs, after the machines are removed; needs CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  async run(context) {
    let machinesLeft = true
    const exitCode = await runFlow(context, {
      plan: planRemoveSeeds,
      nothing: 'nothing to remove: this cluster has no unused seed ISOs',
      needsConfirm: true,
      check(observed) {
        machinesLeft = observed.some((host) => clusterDomains(context.cluster, host).length > 0)
      },
    })
    if (!context.dryRun && !machinesLeft) await forgetHosts(context.cluster)
    return exitCode
  },
})
