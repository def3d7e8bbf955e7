/** cluster:stop: shuts the machines down, workers first. */
import { script } from '@talosmith/core'
import { stopMachines } from '@talosmith/vm'

export default script(import.meta, {
  summary: 'Shut the machines down, workers first, control planes last.',
  changes: true,
  options: {
    force: { type: 'boolean', about: 'power off machines that do not shut down in time' },
  },
  run: (context) => stopMachines(context, { force: context.options.force === true }),
})
