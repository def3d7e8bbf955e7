/** bootstrap:upgrade-talos and bootstrap:upgrade-kubernetes, stage by stage. */
import { warmInstaller } from '@talosmith/clients/factory'
import {
  commandFor,
  Problem,
  type Change,
  type ExitCode,
  type ScriptContext,
  inStep,
} from '@talosmith/core'
import { takeBackup } from '../backup/take-backup.ts'
import { takeKubernetesStep } from './kubernetes-step.ts'
import { backUp, lookAhead, writeGeneratedFiles } from './look-ahead.ts'
import { observeUpgrade, type ObservedMachine } from './observe-upgrade.ts'
import { configOf, describePath, planUpgrade, targetOf } from './plan-upgrade.ts'
import { refuseWentBack } from '../restart/restart.ts'
import { uncordonAfterFailure } from '../restart/uncordon-after-failure.ts'
import { finishLeftovers, takeTalosStep } from './talos-step.ts'
import { openUpgrade, type UpgradeContext, type UpgradeScript } from '../restart/context.ts'
import type { PathStep } from './upgrade-path.ts'
import { bringConfig } from './upgraded-config.ts'

/** Every machine to the asked Talos, one safe restart after the other; Kubernetes on the way only where it must. */
export async function upgradeTalos(
  script: UpgradeScript,
  given?: UpgradeContext,
): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan } = script
  const context = given ?? (await openUpgrade(script))
  const { seen, steps: path, generated } = await lookAhead(context, !dryRun)
  const steps = path.slice(0, path.findLastIndex(({ kind }) => kind === 'talos') + 1)
  const { desired } = context.generated
  const changes = [...generated, ...planUpgrade(cluster, seen, steps, desired)]
  if (dryRun) return showPlan(changes)
  if (changes.length === 0) {
    log.already(`${seen.machines.length} machines run Talos ${cluster.settings.TALOS_VERSION}`)
    return 0
  }
  if (path.length > 0) log.info(`   the way: ${describePath(path)}`)
  await refuseAllWentBack(context, seen.machines, steps)
  // Before anything is changed: no machine waits for the factory, none stays half-way because of it.
  for (const { kind, to } of steps) if (kind === 'talos') await warmInstaller(cluster, to, { log })
  await writeGeneratedFiles(context, generated)
  if (steps.length === 0) await finishLeftovers(context, seen.machines)
  else await backUp(context)
  for (const [index, step] of steps.entries()) {
    // Looked at anew: the step before has changed what runs.
    const { machines } = index === 0 ? seen : await observeUpgrade(context)
    if (step.kind === 'talos') await takeTalosStep(context, step, machines)
    else {
      // A machine in the middle of an upgrade would close the gate for ever.
      await finishLeftovers(context, machines)
      await takeKubernetesStep(context, step)
    }
  }
  // Looked at anew: who restarts turned out on the way, and those have their config.
  const { machines } = steps.length === 0 ? seen : await observeUpgrade(context)
  for (const machine of machines)
    if (configOf(machine, desired) !== undefined) await bringConfig(context, machine.node)
  return 0
}

/** Throws UPGRADE_ROLLED_BACK for a machine that went back from a version still on the way, while nobody looked. */
async function refuseAllWentBack(
  context: UpgradeContext,
  machines: readonly ObservedMachine[],
  steps: readonly PathStep[],
): Promise<void> {
  for (const machine of machines)
    for (const { to } of steps.filter(({ kind }) => kind === 'talos'))
      await uncordonAfterFailure(context, [machine.node], () =>
        refuseWentBack(
          context,
          { ...machine, running: machine.facts },
          targetOf(context.cluster, to),
        ),
      )
}

/** Kubernetes to the asked version, minor by minor, once every machine runs the asked Talos. */
export async function upgradeKubernetes(
  script: UpgradeScript,
  given?: UpgradeContext,
): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan } = script
  const context = given ?? (await openUpgrade(script))
  const { seen, steps, generated } = await lookAhead(context, !dryRun)
  const last = steps.findLastIndex(({ kind }) => kind === 'talos')
  const later = steps.slice(last + 1)
  if (dryRun) return showPlan(planUpgrade(cluster, { ...seen, machines: [] }, later, undefined))
  if (last >= 0)
    throw new Problem('TALOS_COMES_FIRST', `machines do not run Talos ${steps[last]?.to} yet`, {
      now: 'nothing was changed',
      hint: commandFor(cluster, 'bootstrap:upgrade-talos'),
    })
  if (later.length === 0) {
    log.already(`every component runs Kubernetes ${cluster.settings.KUBERNETES_VERSION}`)
    return 0
  }
  log.info(`   the way: ${describePath(later)}`)
  await writeGeneratedFiles(context, generated)
  await finishLeftovers(context, seen.machines)
  await backUp(context)
  for (const step of later) await takeKubernetesStep(context, step)
  return 0
}

/** The whole way, Talos and Kubernetes, on top of what the operator's files lack. Throws what would refuse it. */
export async function planWholeUpgrade(
  script: Pick<UpgradeScript, 'cluster' | 'log' | 'hosts'>,
): Promise<{ readonly generated: readonly Change[]; readonly upgrade: readonly Change[] }> {
  const context = await openUpgrade(script)
  const { seen, steps, generated } = await lookAhead(context, false)
  return { generated, upgrade: planUpgrade(script.cluster, seen, steps, context.generated.desired) }
}

/** Shows it: nothing is changed. */
export async function showUpgrade(script: UpgradeScript): Promise<ExitCode> {
  const { generated, upgrade } = await planWholeUpgrade(script)
  return script.showPlan([...generated, ...upgrade])
}

/** Takes a snapshot of etcd on its own; the answer is where it lies. */
export async function backUpEtcd(
  script: UpgradeScript & Pick<ScriptContext<Record<never, never>>, 'answer' | 'json'>,
): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan, json, answer } = script
  const summary = `Take a snapshot of etcd of cluster ${cluster.name}`
  if (dryRun) return showPlan([{ kind: 'backup-etcd', target: 'etcd', summary, risk: 'none' }])
  const context = await openUpgrade(script)
  const backup = await inStep(log, summary, () => takeBackup(context))
  answer(json ? backup : `${cluster.generated}/backups/${backup.file}`)
  return 0
}
