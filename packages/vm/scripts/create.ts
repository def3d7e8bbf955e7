/** vm:create: makes the machines, or finishes making them; a second run changes nothing. */
import { script } from '@talosmith/core'
import { findMissingImages, findProblems, findWarnings, refuse } from '../src/check.ts'
import { runFlow } from '../src/flow.ts'
import { planCreate } from '../src/plan.ts'
import { describeMachineStatus } from '../src/status.ts'

export default script(import.meta, {
  summary: 'Create the virtual machines of the cluster, or finish creating them.',
  changes: true,
  run: (context) =>
    runFlow(context, {
      plan: planCreate,
      nothing: `${context.cluster.nodes.length} machines run as the settings ask`,
      check(seen) {
        const { cluster, log, dryRun } = context
        refuse(findProblems(cluster, seen))
        const missing = findMissingImages(cluster, seen)
        if (dryRun) missing.forEach(({ message, hint }) => log.warn(`${message}: ${hint}`))
        else refuse(missing)
        findWarnings(cluster, seen).forEach(({ text }) => log.warn(text))
        for (const { machine, notes } of describeMachineStatus(cluster, seen))
          if (notes.length > 0) log.warn(`${machine}: ${notes.join('; ')}`)
      },
    }),
})
