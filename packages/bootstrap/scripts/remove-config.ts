/** bootstrap:remove-config: moves the Talos secrets and machine configs to removed/; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { planRemoveConfig, removeFiles } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Move the Talos secrets and machine configs to removed/; needs CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  run: (context) =>
    removeFiles(context, planRemoveConfig, 'nothing to destroy: no secrets, no machine configs'),
})
