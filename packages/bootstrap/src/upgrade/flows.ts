/** cluster:upgrade-talos, bootstrap:upgrade-kubernetes and bootstrap:backup, stage by stage. */
import { tryWarmInstaller } from '@talosmith/clients/factory'
import {
  commandFor,
  Problem,
  type Change,
  type ExitCode,
  type ScriptContext,
  inStep,
} from '@talosmith/core'
import semver from 'semver'
import { forgetRemovedManifests } from '../configure/generated-files.ts'
import { takeBackup } from '../backup/take-backup.ts'
import { takeKubernetesStep } from './kubernetes-step.ts'
import { backUp, preflightUpgrade, writeGeneratedFiles } from './preflight.ts'
import { observeUpgrade, type ObservedMachine } from './observe-upgrade.ts'
import { configOf, describePath, planUpgrade } from './plan-upgrade.ts'
import { installationOf, usesFactory } from './installation.ts'
import { refuseRolledBack } from '../restart/restart.ts'
import { uncordonAfterFailure } from '../restart/uncordon-after-failure.ts'
import { finishLeftovers, takeTalosStep } from './talos-step.ts'
import { openUpgrade, type UpgradeContext, type UpgradeScript } from '../restart/context.ts'
import type { PathStep } from './upgrade-path.ts'
import { updateConfig } from './upgraded-config.ts'
import { finishWaysBack } from './way-back.ts'

/** Upgrades every machine to TALOS_VERSION, one safe restart after the other, and Kubernetes only where a Talos version requires it. */
export async function upgradeTalos(
  script: UpgradeScript,
  given?: UpgradeContext,
): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan } = script
  const context = given ?? (await openUpgrade(script))
  if (!dryRun) await finishWaysBack(context)
  const { observed, steps: path, fileChanges } = await preflightUpgrade(context, !dryRun)
  const steps = path.slice(0, path.findLastIndex(({ kind }) => kind === 'talos') + 1)
  const { desired } = context.generated
  const changes = [...fileChanges, ...planUpgrade(cluster, observed, steps, desired)]
  if (dryRun) return showPlan(changes)
  if (changes.length === 0) {
    log.already(`${observed.machines.length} machines run Talos ${cluster.settings.TALOS_VERSION}`)
    return 0
  }
  if (path.length > 0) log.info(`   upgrade path: ${describePath(path)}`)
  await refuseAllRolledBack(context, observed.machines, steps)
  // Before any change: no machine has to wait for the factory.
  const warms = observed.machines.some((machine) => usesFactory(cluster, machine))
  for (const { kind, to } of warms ? steps : [])
    if (kind === 'talos') await tryWarmInstaller(cluster, to, { log })
  await writeGeneratedFiles(context, fileChanges)
  if (steps.length === 0) await finishLeftovers(context, observed.machines)
  else await backUp(context)
  for (const [index, step] of steps.entries()) {
    // Observed again: the previous step changed what runs.
    const { machines } = index === 0 ? observed : await observeUpgrade(context)
    if (step.kind === 'talos') await takeTalosStep(context, step, machines)
    else {
      // A machine in the middle of an upgrade would keep the gate closed.
      await finishLeftovers(context, machines)
      await takeKubernetesStep(context, step)
    }
  }
  // Observed again: machines that restarted have their config already.
  const { machines } = steps.length === 0 ? observed : await observeUpgrade(context)
  for (const machine of machines)
    if (configOf(machine, desired) !== undefined) await updateConfig(context, machine.node)
  return 0
}

/** Throws UPGRADE_ROLLED_BACK for a machine that rolled back, after an earlier run, from a version of the path. */
async function refuseAllRolledBack(
  context: UpgradeContext,
  machines: readonly ObservedMachine[],
  steps: readonly PathStep[],
): Promise<void> {
  for (const machine of machines)
    for (const { to } of steps.filter(({ kind }) => kind === 'talos'))
      await uncordonAfterFailure(context, [machine.node], () =>
        refuseRolledBack(
          context,
          { ...machine, running: machine.facts },
          installationOf(context.cluster, machine, to),
        ),
      )
}

/** Upgrades Kubernetes to KUBERNETES_VERSION, minor by minor, once every machine runs TALOS_VERSION. */
export async function upgradeKubernetes(
  script: UpgradeScript,
  given?: UpgradeContext,
): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan } = script
  const context = given ?? (await openUpgrade(script))
  const { observed, steps, fileChanges } = await preflightUpgrade(context, !dryRun)
  const last = steps.findLastIndex(({ kind }) => kind === 'talos')
  const later = steps.slice(last + 1)
  if (dryRun) return showPlan(planUpgrade(cluster, { ...observed, machines: [] }, later, undefined))
  if (last >= 0)
    throw new Problem('TALOS_COMES_FIRST', `machines do not run Talos ${steps[last]?.to} yet`, {
      now: 'nothing was changed',
      hint: commandFor(cluster, 'cluster:upgrade-talos'),
    })
  if (later.length === 0) {
    log.already(`every component runs Kubernetes ${cluster.settings.KUBERNETES_VERSION}`)
    return 0
  }
  log.info(`   upgrade path: ${describePath(later)}`)
  await writeGeneratedFiles(context, fileChanges)
  await finishLeftovers(context, observed.machines)
  await backUp(context)
  for (const step of later) await takeKubernetesStep(context, step)
  // Older ones delete nothing, and manifests removed in this run are still in the machines' configs.
  if (semver.gte(cluster.settings.TALOS_VERSION, '1.13.0') && fileChanges.length === 0)
    await forgetRemovedManifests(cluster)
  return 0
}

/** Plans the whole upgrade: changes of the generated files, of Talos and of Kubernetes. Throws when it would be refused. */
export async function planWholeUpgrade(
  script: Pick<UpgradeScript, 'cluster' | 'log' | 'hosts'>,
): Promise<{ readonly fileChanges: readonly Change[]; readonly upgrade: readonly Change[] }> {
  const context = await openUpgrade(script)
  const { observed, steps, fileChanges } = await preflightUpgrade(context, false)
  return {
    fileChanges,
    upgrade: planUpgrade(script.cluster, observed, steps, context.generated.desired),
  }
}

/** Shows the plan of the whole upgrade. */
export async function showUpgrade(script: UpgradeScript): Promise<ExitCode> {
  const { fileChanges, upgrade } = await planWholeUpgrade(script)
  return script.showPlan([...fileChanges, ...upgrade])
}

/** Backs up etcd and prints the path of the backup. */
export async function backUpEtcd(
  script: UpgradeScript & Pick<ScriptContext<Record<never, never>>, 'answer' | 'json'>,
): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan, json, answer } = script
  const summary = `Back up etcd of cluster ${cluster.name}`
  if (dryRun) return showPlan([{ kind: 'backup-etcd', target: 'etcd', summary, risk: 'none' }])
  const context = await openUpgrade(script)
  const backup = await inStep(log, summary, () => takeBackup(context))
  answer(json ? backup : `${cluster.generated}/backups/${backup.file}`)
  return 0
}
