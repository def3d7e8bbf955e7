/** vm:start: starts machines that do not run, control planes first. */
import { script } from '@talosmith/core'
import { roleOf, runFlow } from '../src/flow.ts'
import { planStart } from '../src/plan.ts'

export default script(import.meta, {
  summary: 'Start the machines that do not run, control planes first.',
  changes: true,
  run: (context) =>
    runFlow(context, {
      plan: planStart,
      nothing: 'every machine runs',
      step: roleOf(context.cluster),
    }),
})
