/** bootstrap:upgrade-talos: upgrades every machine to TALOS_VERSION with its extensions and kernel arguments, one safe restart after the other. */
import { script } from '@talosmith/core'
import { upgradeTalos } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Upgrade every machine to TALOS_VERSION, one safe restart after the other.',
  changes: true,
  run: upgradeTalos,
})
