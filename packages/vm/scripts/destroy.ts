/** vm:destroy: takes the machines of the cluster, their disks and NVRAM away; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { planDestroy } from '../src/index.ts'
import { runFlow } from '../src/flow.ts'

export default script(import.meta, {
  summary: 'Take the machines, their disks and NVRAM away; needs CONFIRM=<cluster>.',
  changes: true,
  run: (context) =>
    runFlow(context, planDestroy, {
      sideBySide: false,
      nothing: 'no machine to remove',
      needsConfirm: true,
    }),
})
