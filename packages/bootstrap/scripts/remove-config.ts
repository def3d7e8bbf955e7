/** bootstrap:remove-config: sets the Talos secrets and machine configs aside; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { planRemoveConfig, removeFiles } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Set the Talos secrets and machine configs aside in removed/; needs CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  run: (context) =>
    removeFiles(context, planRemoveConfig, 'nothing to destroy: no secrets, no machine configs'),
})
