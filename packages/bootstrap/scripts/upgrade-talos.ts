/** bootstrap:upgrade-talos: brings every machine to TALOS_VERSION, its extensions and kernel arguments, one safe restart after the other. */
import { script } from '@talosmith/core'
import { upgradeTalos } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Bring every machine to the asked Talos, one safe restart after the other.',
  changes: true,
  run: upgradeTalos,
})
