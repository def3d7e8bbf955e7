/** cluster:start: starts the machines that do not run, control planes first, and ends when the cluster is healthy. */
import { waitForHealth } from '@talosmith/bootstrap'
import { script } from '@talosmith/core'
import { startMachines } from '@talosmith/vm'

export default script(import.meta, {
  summary: 'Start the machines, control planes first, and wait until the cluster is healthy.',
  changes: true,
  options: {
    'machines-only': {
      type: 'boolean',
      about: 'end when the machines run, whether or not the cluster is healthy',
    },
  },
  async run(context) {
    const exitCode = await startMachines(context)
    if (context.dryRun || context.options['machines-only'] === true) return exitCode
    await waitForHealth(context)
  },
})
