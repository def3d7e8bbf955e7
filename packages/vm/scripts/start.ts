/** vm:start: starts machines that do not run, control planes first. */
import { script } from '@talosmith/core'
import { startMachines } from '../src/flow.ts'

export default script(import.meta, {
  summary: 'Start the machines that do not run, control planes first.',
  changes: true,
  run: startMachines,
})
