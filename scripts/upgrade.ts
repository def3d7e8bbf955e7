/** The last stage of cluster:upgrade: waits for a healthy cluster. With --dry-run: prints every step of the upgrade. */
import { showUpgrade, waitForHealth } from '@talosmith/bootstrap'
import { script, type Change, type ExitCode } from '@talosmith/core'
import { dropChannels } from '@talosmith/vm'

export default script(import.meta, {
  summary:
    'Wait until the upgraded cluster is healthy; with --dry-run, print every step of the upgrade.',
  changes: true,
  async run(context) {
    if (context.dryRun) return showAllSteps(context)
    await waitForHealth(context)
    // Every machine runs the configured schematic by now: without the guest agent nothing needs its channel.
    await dropChannels(context)
    const { TALOS_VERSION: talos, KUBERNETES_VERSION: kubernetes } = context.cluster.settings
    context.log.info(`   ${context.cluster.name} runs Talos ${talos} and Kubernetes ${kubernetes}`)
  },
})

/** The upgrade steps of Talos and Kubernetes, and what is removed from the virtual machines afterwards. */
async function showAllSteps(
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
