/** The preflight of an upgrade: everything that is checked before it changes anything. */
import { listExtensions, refuseMissingExtensions } from '@talosmith/clients/factory'
import { applyAll, inStep } from '@talosmith/core'
import { applyBootstrapChange } from '../configure/apply.ts'
import { planGeneratedFiles, type BootstrapChange } from '../configure/plan.ts'
import { refuseMoved } from '../config/fixed-addresses.ts'
import { takeBackup } from '../backup/take-backup.ts'
import { warnOfBlocked } from '../restart/drain.ts'
import { refuseFailedVersions } from './failed-version.ts'
import { refuseMissingChannel } from './guest-agent.ts'
import { observeUpgrade, type ObservedUpgrade } from './observe-upgrade.ts'
import { refuseUnknownInstaller, usesFactory } from './installation.ts'
import { machinesOf, planSteps } from './plan-upgrade.ts'
import type { UpgradeContext } from '../restart/context.ts'
import type { PathStep } from './upgrade-path.ts'

/** The observed cluster, and the path to the desired versions. */
export interface UpgradePreflight {
  readonly observed: ObservedUpgrade
  readonly steps: readonly PathStep[]
  /** Changes of the generated files on this computer. */
  readonly fileChanges: readonly BootstrapChange[]
}

/** Observes the cluster and finds the path. Throws, before any change, when the upgrade cannot be done. */
export async function preflightUpgrade(
  context: UpgradeContext,
  waits: boolean,
): Promise<UpgradePreflight> {
  const { cluster } = context
  const observed = await observeUpgrade(context, { waits })
  for (const { node, config } of observed.machines)
    refuseMoved(cluster, node.name, context.generated.desired?.get(node.name) ?? config, config)
  const steps = planSteps(cluster, observed)
  refuseFailedVersions(cluster, steps, observed.machines)
  const talos = steps.filter(({ kind }) => kind === 'talos')
  const restarting = [
    ...new Set(talos.flatMap((step) => machinesOf(cluster, step, observed.machines))),
  ]
  refuseUnknownInstaller(cluster, restarting)
  if (restarting.some((machine) => usesFactory(cluster, machine)))
    await refuseWithoutExtensions(context, talos)
  await refuseMissingChannel(context, restarting)
  await warnOfBlocked(
    context,
    restarting.map(({ node }) => node),
  )
  return { observed, steps, fileChanges: planGeneratedFiles(cluster, context.generated) }
}

/** Throws EXTENSION_NOT_OFFERED when a configured extension is not offered for a version of the path. */
async function refuseWithoutExtensions(
  { cluster, log }: UpgradeContext,
  steps: readonly PathStep[],
): Promise<void> {
  if (cluster.settings.TALOS_EXTENSIONS.length === 0) return
  for (const { to } of steps)
    refuseMissingExtensions(cluster.settings, to, await listExtensions(cluster, to, { log }))
}

/** Writes the machine configs and the talosconfig that match the settings. */
export async function writeGeneratedFiles(
  { cluster, talosctl, log, generated }: UpgradeContext,
  changes: UpgradePreflight['fileChanges'],
): Promise<void> {
  await applyAll(
    changes,
    (change) => applyBootstrapChange(change, { cluster, talosctl, log, generated }),
    {
      log,
    },
  )
}

/** Backs up etcd before the upgrade changes anything. */
export async function backUp(context: UpgradeContext): Promise<void> {
  await inStep(context.log, 'Back up etcd', async () => {
    const { file, revision } = await takeBackup(context)
    context.log.info(`   ${file}, revision ${revision}`)
  })
}
