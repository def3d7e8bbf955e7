/** vm:stop: shuts machines down, workers first. */
import { script } from '@talosmith/core'
import { planStop } from '../src/index.ts'
import { runFlow } from '../src/flow.ts'

export default script(import.meta, {
  summary: 'Shut the machines down, workers first, control planes last.',
  changes: true,
  run: (context) => runFlow(context, planStop, { sideBySide: false, nothing: 'no machine runs' }),
})
