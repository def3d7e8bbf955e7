/** bootstrap:configure: makes secrets and machine configs, and gives every machine its own. */
import { script } from '@talosmith/core'
import { configure } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Make secrets and machine configs, and give every machine its own.',
  changes: true,
  run: configure,
})
