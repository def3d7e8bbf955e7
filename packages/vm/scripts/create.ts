/** vm:create: makes the machines, or finishes making them; a second run changes nothing. */
import { script } from '@talosmith/core'
import { planCreate } from '../src/index.ts'
import { runFlow } from '../src/flow.ts'

export default script(import.meta, {
  summary: 'Create the virtual machines of the cluster, or finish creating them.',
  changes: true,
  run: (context) =>
    runFlow(context, planCreate, {
      sideBySide: true,
      nothing: `${context.cluster.nodes.length} machines run as the settings ask`,
    }),
})
