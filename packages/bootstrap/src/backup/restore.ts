/** bootstrap:restore: restores etcd from a backup, stage by stage. */
import {
  applyAll,
  commandFor,
  Problem,
  waitFor,
  type Cluster,
  type ExitCode,
  inStep,
} from '@talosmith/core'
import { observeEtcdState } from '@talosmith/clients/etcd'
import { openTalosctl } from '@talosmith/clients/talos'
import { bootstrapEtcd } from '../configure/apply-start.ts'
import { applyBootstrapChange } from '../configure/apply.ts'
import { configure } from '../configure/configure.ts'
import { planTalosconfig, type BootstrapChange } from '../configure/plan.ts'
import { refuseEtcdElsewhere } from '../configure/refuse-bootstrap.ts'
import { startCluster } from '../configure/start.ts'
import { beginHistory } from '../generated/history.ts'
import { beginRestore, endRestore, refuseUnfinished } from '../generated/under-way.ts'
import { openUpgrade, rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'
import { checkTalosconfig } from '../secrets/access.ts'
import { readSecrets, secretsFile, writeSecrets } from '../secrets/secrets.ts'
import { readKeptSecrets, type ChosenBackup } from './backup.ts'
import { findBackup, planRestore, planSecrets, type RestoreScript } from './prepare-restore.ts'
import { restartEach, uncordonAnnotated, verifyData } from './verify-restore.ts'

/** What a restore starts with; Kubernetes is available once etcd runs. */
type RestoreTools = Pick<UpgradeContext, 'cluster' | 'log' | 'talosctl' | 'secrets'>

/** The stages of cluster:up that are part of a restore. */
const stages = { configure, startCluster }

/**
 * Restores etcd from a backup on control planes without data, restarts each once, and verifies before and
 * after that it is the cluster of the backup. It needs only the machine secrets and the backup.
 */
export async function restoreEtcd(
  script: RestoreScript,
  given?: UpgradeContext,
  { configure, startCluster } = stages,
): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan } = script
  const within = 'cluster:restore'
  await refuseUnfinished(cluster, within)
  const backup = await findBackup(script, given?.secrets)
  if (backup.bringsSecrets) {
    // No machine can be queried yet with these secrets, so a plan cannot check for data.
    if (dryRun) return showPlan(planRestore(cluster, backup))
    await applyAll(planSecrets(backup), () => restoreSecrets(cluster, backup), { log })
  }
  const tools = given ?? (await openRestore(script))
  const access = given === undefined ? await planAccess(tools) : []
  if (!dryRun) await applyAll(access, (change) => applyBootstrapChange(change, tools), { log })
  await refuseData(tools)
  await refuseEtcdElsewhere(cluster, tools.talosctl, tools.secrets)
  if (dryRun) return showPlan([...access, ...planRestore(cluster, backup)])
  await beginRestore(cluster, backup)
  await configure({ ...script, within }, tools.talosctl)
  const [first] = cluster.controlPlanes
  if (first === undefined) return 0
  await waitFor(
    'the control planes to report that they have no data',
    () => refuseData(tools, true),
    {
      log,
      withinMs: rebootTimeoutMs(cluster),
      code: 'ETCD_DOWN',
      hint: commandFor(cluster, 'vm:status'),
    },
  )
  await inStep(log, `Restore etcd from ${backup.file} on ${first.name}`, async () => {
    // First: a run that is stopped in between must not leave later backups as the newest.
    await beginHistory(cluster, backup)
    await bootstrapEtcd(tools, first, backup.path)
  })
  await startCluster({ ...script, within })
  const context = given ?? (await openUpgrade(script, tools.talosctl))
  await verifyData(context, backup)
  await uncordonAnnotated(context)
  await restartEach(context)
  await verifyData(context, backup)
  await endRestore(cluster)
  log.info(`   the data of ${backup.takenAt} is restored; later writes are lost`)
  return 0
}

async function restoreSecrets(cluster: Cluster, backup: ChosenBackup): Promise<void> {
  const text = await readKeptSecrets(cluster, backup)
  if (text !== undefined) await writeSecrets(cluster, text, { recovered: true })
}

async function openRestore({
  cluster,
  log,
}: Pick<RestoreScript, 'cluster' | 'log'>): Promise<RestoreTools> {
  const secrets = await readSecrets(cluster)
  if (secrets === undefined) throw new Error(`there is no ${secretsFile}`)
  return {
    cluster,
    log,
    talosctl: await openTalosctl(cluster),
    secrets,
  }
}

/** Plans the talosconfig that is needed to check for data. */
async function planAccess({ cluster, secrets }: RestoreTools): Promise<BootstrapChange[]> {
  const problem = await checkTalosconfig(cluster, secrets)
  return problem === undefined ? [] : [planTalosconfig(problem)]
}

/** Throws RESTORE_REFUSED when etcd has data, which a restore would overwrite. */
async function refuseData(
  { cluster, talosctl, secrets }: RestoreTools,
  isConfigured = false,
): Promise<void> {
  const state = await observeEtcdState(cluster, talosctl, secrets).catch((error: unknown) => {
    // Machines without a config have no data that could be lost.
    if (isConfigured) throw error
    return 'none' as const
  })
  if (state === 'none') return
  throw new Problem('RESTORE_REFUSED', `the control planes of ${cluster.name} have etcd data`, {
    because: state === 'running' ? 'etcd is running' : 'etcd is not running, but its data exists',
    now: 'nothing was changed',
    hint: `to delete their disks and restore onto new ones: CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:restore')}`,
  })
}
