/** bootstrap:configure: generates secrets and machine configs, and applies them to the machines. */
import { script } from '@talosmith/core'
import { configure } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Generate secrets and machine configs, and apply them to the machines.',
  changes: true,
  run: configure,
})
