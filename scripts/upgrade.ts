/** The last stage of cluster:upgrade: sees that the whole cluster is well. With --dry-run: the whole way, before anything. */
import { showUpgrade, waitForHealth } from '@talosmith/bootstrap'
import { script, type Change, type ExitCode } from '@talosmith/core'
import { dropChannels } from '@talosmith/vm'

export default script(import.meta, {
  summary: 'See that the upgraded cluster is well; with --dry-run, print the whole way there.',
  changes: true,
  async run(context) {
    if (context.dryRun) return showWhole(context)
    await waitForHealth(context)
    // Every machine runs the asked schematic by now: without the agent nothing waits for its channel.
    await dropChannels(context)
    const { TALOS_VERSION: talos, KUBERNETES_VERSION: kubernetes } = context.cluster.settings
    context.log.info(`   ${context.cluster.name} runs Talos ${talos} and Kubernetes ${kubernetes}`)
  },
})

/** The way of Talos and Kubernetes, and what is taken from the virtual machines after it. */
async function showWhole(
  context: Parameters<typeof showUpgrade>[0] & Parameters<typeof dropChannels>[0],
): Promise<ExitCode> {
  const planned: Change[] = []
  const showPlan = (changes: readonly Change[]): ExitCode => {
    planned.push(...changes)
    return 0
  }
  await showUpgrade({ ...context, showPlan })
  await dropChannels({ ...context, showPlan })
  return context.showPlan(planned)
}
