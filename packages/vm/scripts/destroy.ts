/** vm:destroy: removes the machines of the cluster, their disks and NVRAM; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { runFlow } from '../src/flow.ts'
import { findOtherHosts } from '../src/made-on.ts'
import { planDestroy } from '../src/plan-destroy.ts'
import { describeUntouched } from '../src/untouched.ts'

export default script(import.meta, {
  summary: 'Remove the machines, their disks and NVRAM; needs CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  run: (context) =>
    runFlow(context, {
      plan: planDestroy,
      nothing: 'nothing to destroy: this cluster has no machines',
      needsConfirm: true,
      check(observed) {
        for (const resource of describeUntouched(context.cluster, observed))
          context.log.info(`   left alone: ${resource}`)
        findOtherHosts(context.cluster, observed).forEach((found) => context.log.warn(found))
      },
    }),
})
