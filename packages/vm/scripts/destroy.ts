/** vm:destroy: takes the machines of the cluster, their disks and NVRAM away; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { runFlow } from '../src/flow.ts'
import { findOtherHosts } from '../src/made-on.ts'
import { planDestroy } from '../src/plan.ts'
import { describeUntouched } from '../src/untouched.ts'

export default script(import.meta, {
  summary: 'Take the machines, their disks and NVRAM away; needs CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  run: (context) =>
    runFlow(context, {
      plan: planDestroy,
      nothing: 'nothing to destroy: no machine of this cluster is there',
      needsConfirm: true,
      check(seen) {
        for (const thing of describeUntouched(context.cluster, seen))
          context.log.info(`   left alone: ${thing}`)
        findOtherHosts(context.cluster, seen).forEach((found) => context.log.warn(found))
      },
    }),
})
