/** cluster:start: starts the machines that are off or paused, control planes first, and waits for a healthy cluster. */
import { waitForHealth } from '@talosmith/bootstrap'
import { script } from '@talosmith/core'
import { startMachines } from '@talosmith/vm'

export default script(import.meta, {
  summary: 'Start the machines, control planes first, and wait until the cluster is healthy.',
  changes: true,
  options: {
    'machines-only': {
      type: 'boolean',
      about: 'do not wait until the cluster is healthy',
    },
  },
  async run(context) {
    const exitCode = await startMachines(context)
    if (context.dryRun || context.options['machines-only'] === true) return exitCode
    await waitForHealth(context)
  },
})
