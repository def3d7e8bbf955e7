/** vm:create: creates the machines, or finishes creating them; a second run changes nothing. */
import { script } from '@talosmith/core'
import { findMissingImages, findProblems, findWarnings, refuse } from '../src/check.ts'
import { runFlow } from '../src/flow.ts'
import { planCreate } from '../src/plan-create.ts'
import { describeMachineStatus } from '../src/status.ts'

export default script(import.meta, {
  summary: 'Create the virtual machines of the cluster, or finish creating them.',
  changes: true,
  run: (context) =>
    runFlow(context, {
      plan: planCreate,
      nothing: `${context.cluster.nodes.length} machines run and match the settings`,
      check(observed) {
        const { cluster, log, dryRun } = context
        refuse(findProblems(cluster, observed))
        const missing = findMissingImages(cluster, observed)
        if (dryRun) missing.forEach(({ message, hint }) => log.warn(`${message}: ${hint}`))
        else refuse(missing)
        findWarnings(cluster, observed).forEach(({ text }) => log.warn(text))
        for (const { machine, notes } of describeMachineStatus(cluster, observed))
          if (notes.length > 0) log.warn(`${machine}: ${notes.join('; ')}`)
      },
    }),
})
