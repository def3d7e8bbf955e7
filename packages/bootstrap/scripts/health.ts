/** bootstrap:health: waits until the cluster is healthy. */
import { script } from '@talosmith/core'
import { endAfterHealth, waitForHealth } from '../src/index.ts'

export default script(import.meta, {
  summary: 'Wait until the cluster is healthy; report the reason of every unmet condition.',
  waits: true,
  async run(context) {
    await waitForHealth(context)
    await endAfterHealth(context.cluster, context.log)
  },
})
