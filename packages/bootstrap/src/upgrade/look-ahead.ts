/** Everything that is looked at before an upgrade changes anything. */
import { listExtensions, refuseMissingExtensions } from '@talosmith/clients/factory'
import { applyAll, inStep } from '@talosmith/core'
import { applyChange } from '../configure/apply.ts'
import { planGeneratedFiles, type BootstrapChange } from '../configure/plan.ts'
import { takeBackup } from '../backup/take-backup.ts'
import { refuseBlocked } from '../restart/drain.ts'
import { refuseMissingChannel } from './guest-agent.ts'
import { observeUpgrade, type ObservedUpgrade } from './observe-upgrade.ts'
import { machinesOf, planSteps } from './plan-upgrade.ts'
import type { UpgradeContext } from '../restart/context.ts'
import type { PathStep } from './upgrade-path.ts'

/** What is, and which versions lead to what is asked. */
export interface Outlook {
  readonly seen: ObservedUpgrade
  readonly steps: readonly PathStep[]
  /** What the operator's machine lacks. */
  readonly generated: readonly BootstrapChange[]
}

/** Looks at everything and works the path out; throws whatever stands in the way before anything is changed. */
export async function lookAhead(context: UpgradeContext, patient: boolean): Promise<Outlook> {
  const { cluster } = context
  const seen = await observeUpgrade(context, { patient })
  const steps = planSteps(cluster, seen)
  const talos = steps.filter(({ kind }) => kind === 'talos')
  await refuseWithoutExtensions(context, talos)
  const restarting = [...new Set(talos.flatMap((step) => machinesOf(cluster, step, seen.machines)))]
  await refuseMissingChannel(context, restarting)
  await refuseBlocked(
    context,
    restarting.map(({ node }) => node),
  )
  return { seen, steps, generated: planGeneratedFiles(cluster, context.generated) }
}

/** Throws EXTENSION_NOT_OFFERED when a version on the way lacks a desired extension. */
async function refuseWithoutExtensions(
  { cluster, log }: UpgradeContext,
  steps: readonly PathStep[],
): Promise<void> {
  if (cluster.settings.TALOS_EXTENSIONS.length === 0) return
  for (const { to } of steps)
    refuseMissingExtensions(cluster.settings, to, await listExtensions(cluster, to, { log }))
}

/** Configs and talosconfig as the settings ask for them now. */
export async function writeGeneratedFiles(
  { cluster, talosctl, log, generated }: UpgradeContext,
  changes: Outlook['generated'],
): Promise<void> {
  await applyAll(changes, (change) => applyChange(change, { cluster, talosctl, log, generated }), {
    log,
  })
}

/** A snapshot before anything that could cost what it holds. */
export async function backUp(context: UpgradeContext): Promise<void> {
  await inStep(context.log, 'Take a snapshot of etcd', async () => {
    const { file, revision } = await takeBackup(context)
    context.log.info(`   ${file}, revision ${revision}`)
  })
}
