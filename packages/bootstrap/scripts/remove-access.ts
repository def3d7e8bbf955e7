/** bootstrap:remove-access: sets kubeconfig and talosconfig aside; needs CONFIRM=<cluster>. */
import { script } from '@talosmith/core'
import { planRemoveAccess, removeFiles } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Set kubeconfig and talosconfig aside in removed/; needs CONFIRM=<cluster>.',
  changes: true,
  losesData: true,
  run: (context) =>
    removeFiles(context, planRemoveAccess, 'nothing to destroy: no kubeconfig, no talosconfig'),
})
