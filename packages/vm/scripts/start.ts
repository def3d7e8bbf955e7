/** The first half of vm:start (scripts/start.ts): ends when the machines run, whatever is in them. */
import { script } from '@talosmith/core'
import { startMachines } from '../src/flow.ts'

export default script(import.meta, {
  summary: 'Start the machines that do not run, control planes first.',
  changes: true,
  run: startMachines,
})
