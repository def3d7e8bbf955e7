/** vm:stop: shuts machines down, workers first. */
import { script } from '@talosmith/core'
import { byRole, runFlow } from '../src/flow.ts'
import { planStop } from '../src/plan.ts'

export default script(import.meta, {
  summary: 'Shut the machines down, workers first, control planes last.',
  changes: true,
  options: {
    force: { type: 'boolean', about: 'cut the power of machines that do not shut down in time' },
  },
  run: (context) =>
    runFlow(context, {
      plan: planStop,
      nothing: 'no machine runs',
      step: byRole,
      force: context.options.force === true,
    }),
})
