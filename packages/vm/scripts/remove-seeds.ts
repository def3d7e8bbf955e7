/** vm:remove-seeds: takes the seed ISOs of the cluster away; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { planRemoveSeeds } from '../src/index.ts'
import { runFlow } from '../src/flow.ts'

export default script(import.meta, {
  summary: 'Take the seed ISOs away; needs CONFIRM=<cluster>.',
  changes: true,
  run: (context) =>
    runFlow(context, planRemoveSeeds, {
      sideBySide: false,
      nothing: 'no seed ISO to remove',
      needsConfirm: true,
    }),
})
