/** vm:create: creates the machines, or finishes creating them; a second run changes nothing. */
import { findUnfinishedMachines, script } from '@talosmith/core'
import { findMissingImages, findProblems, findWarnings, refuse } from '../src/check.ts'
import { runFlow } from '../src/flow.ts'
import { createsMachines, planCreate } from '../src/plan-create.ts'
import { describeMachineStatus } from '../src/status.ts'

export default script(import.meta, {
  summary: 'Create the virtual machines of the cluster, or finish creating them.',
  changes: true,
  async run(context) {
    const unfinished = await findUnfinishedMachines(context.cluster)
    return runFlow(context, {
      plan: planCreate,
      nothing: `${context.cluster.nodes.length} machines run and match the settings`,
      check(observed, cluster) {
        const { log, dryRun } = context
        // First: what it names, such as a pool that is not mounted, also stops the command that continues.
        refuse(findProblems(cluster, observed))
        // Empty machines in the place of those that were removed would go for the cluster.
        if (unfinished !== undefined && createsMachines(planCreate(cluster, observed)))
          throw unfinished
        const missing = findMissingImages(cluster, observed)
        if (dryRun) missing.forEach(({ message, hint }) => log.warn(`${message}: ${hint}`))
        else refuse(missing)
        findWarnings(cluster, observed).forEach(({ text }) => log.warn(text))
        for (const { machine, notes } of describeMachineStatus(cluster, observed))
          if (notes.length > 0) log.warn(`${machine}: ${notes.join('; ')}`)
      },
    })
  },
})
