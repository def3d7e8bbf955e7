/** vm:boot-previous: boots the previous Talos version of one machine that hangs or panics after an upgrade. */
import { script } from '@talosmith/core'
import { bootPrevious } from '../src/previous-version.ts'

export default script(import.meta, {
  summary:
    'Reset one machine that hangs or panics after an upgrade, choose its previous version in the boot menu, and keep it.',
  changes: true,
  options: { machine: { type: 'string', about: 'the machine: home-cp1' } },
  run: (context) => bootPrevious(context, context.options.machine),
})
