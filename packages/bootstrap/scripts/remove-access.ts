/** bootstrap:remove-access: moves kubeconfig and talosconfig to removed/; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { planRemoveAccess, removeFiles } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Move kubeconfig and talosconfig to removed/; needs CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  run: (context) =>
    removeFiles(context, planRemoveAccess, 'nothing to destroy: no kubeconfig, no talosconfig'),
})
