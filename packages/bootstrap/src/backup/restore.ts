/** bootstrap:restore: restores etcd from a backup, stage by stage. */
import {
  applyAll,
  commandFor,
  Problem,
  reasonOf,
  waitFor,
  withoutCredentials,
  type Change,
  type Cluster,
  type ExitCode,
  inStep,
} from '@talosmith/core'
import { checkTalosconfig } from '../secrets/access.ts'
import { bootstrapEtcd } from '../configure/apply-start.ts'
import { applyBootstrapChange } from '../configure/apply.ts'
import { configure } from '../configure/configure.ts'
import { leaderOf, observeEtcdFacts, observeEtcdState } from '@talosmith/clients/etcd'
import { type Kubernetes, type NodeObject } from '@talosmith/clients/kubernetes'
import { checkGeneratedFiles } from '../configure/generated-files.ts'
import { planTalosconfig, type BootstrapChange } from '../configure/plan.ts'
import { refuseEtcdElsewhere } from '../configure/refuse-bootstrap.ts'
import { readSecrets, secretsFile, writeSecrets, type SecretsId } from '../secrets/secrets.ts'
import {
  beginRestore,
  endRestore,
  findRestore,
  refuseUnfinished,
  type Restore,
} from '../generated/under-way.ts'
import { startCluster } from '../configure/start.ts'
import { openTalosctl, readBootId, readNode } from '@talosmith/clients/talos'
import { uncordon } from '../restart/cordon.ts'
import { nextTurn } from '../restart/order.ts'
import { passGate } from '../restart/pass-gate.ts'
import { restart, waitForReboot } from '../restart/restart.ts'
import {
  rebootTimeoutMs,
  openUpgrade,
  type UpgradeContext,
  type UpgradeScript,
} from '../restart/context.ts'
import { type Backup } from '../generated/backups.ts'
import { beginHistory } from '../generated/history.ts'
import {
  chooseBackup,
  readIdentity,
  readKeptSecrets,
  readRevision,
  type ChosenBackup,
} from './backup.ts'
import { describeNewer, observeRunningEtcd, planSaving, saveRunningEtcd } from './newer.ts'
import { withTemporaryAccess } from './temporary-access.ts'

/** The part of a script context that a restore uses. */
export type RestoreScript = UpgradeScript & {
  readonly options: { readonly snapshot?: string | undefined }
}

/** What a restore starts with; Kubernetes is available once etcd runs. */
type RestoreTools = Pick<UpgradeContext, 'cluster' | 'log' | 'talosctl' | 'secrets'>

/** The stages of cluster:up that are part of a restore. */
const stages = { configure, startCluster }

/** The verified backup that a restore would use: that of a stopped restore, unless one is named. Throws BACKUP_UNUSABLE. */
export async function findBackup(
  { options, cluster }: Pick<RestoreScript, 'cluster' | 'options'>,
  given?: SecretsId,
): Promise<ChosenBackup> {
  const name = options.snapshot ?? (await findRestore(cluster))?.backup
  return chooseBackup(cluster, given ?? (await readSecrets(cluster)), name)
}

/** What a restore continues, in one sentence; undefined: it begins. Pure. */
export function describeContinued(
  begun: Restore | undefined,
  { file, takenAt }: Pick<Backup, 'file' | 'takenAt'>,
): string | undefined {
  return begun?.backup === file
    ? `continuing an interrupted restore of ${file} of ${takenAt}; --snapshot names another backup`
    : undefined
}

/**
 * Checks, before anything is removed, that this restore could end: tools, machine configs, other control planes,
 * no regeneration under way. Returns what has to be saved first: an etcd that is newer than the backup.
 */
export async function prepareRestore(
  cluster: Cluster,
  backup: ChosenBackup,
  observe: typeof observeRunningEtcd = observeRunningEtcd,
): Promise<Change[]> {
  await refuseUnfinished(cluster, 'cluster:restore')
  const talosctl = await openTalosctl(cluster)
  await checkGeneratedFiles(cluster, talosctl)
  const kept = await readKeptSecrets(cluster, backup)
  await withTemporaryAccess(cluster, kept, (access, secrets) =>
    refuseEtcdElsewhere(cluster, access, secrets),
  )
  // Also of a restore that was stopped: what it left may have been used since.
  const etcd = await observe(cluster, kept)
  const newer = etcd && describeNewer(backup, etcd)
  return newer === undefined ? [] : [planSaving(newer)]
}

/**
 * Throws RESTORE_REFUSED when etcd answers although no host of LIBVIRT_URI has a control plane: it runs on another
 * host, perhaps from another checkout, and new machines would get its addresses.
 */
export async function refuseEtcdOnOtherHosts(
  cluster: Cluster,
  backup: ChosenBackup,
  observe: typeof observeRunningEtcd = observeRunningEtcd,
): Promise<void> {
  const etcd = await observe(cluster, await readKeptSecrets(cluster, backup))
  if (etcd === undefined) return
  const { name, controlPlanes, settings } = cluster
  throw new Problem('RESTORE_REFUSED', `cluster ${name} runs on another host`, {
    because: `etcd answers at ${controlPlanes.map(({ address }) => address).join(', ')}, and no machine of the cluster is on ${settings.LIBVIRT_URI.map(withoutCredentials).join(', ')}: new ones would get the same addresses`,
    now: 'nothing was changed',
    hint: `put the host of the machines into LIBVIRT_URI, or, to move the cluster, back it up (${commandFor(cluster, 'bootstrap:backup')}) and stop it there (${commandFor(cluster, 'cluster:stop')}) first`,
  })
}

/** Backs up the running etcd that a restore of this backup replaces; returns the path. Throws BACKUP_FAILED. */
export async function saveReplacedEtcd(cluster: Cluster, backup: ChosenBackup): Promise<string> {
  return saveRunningEtcd(cluster, await readKeptSecrets(cluster, backup))
}

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
  await verify(context, backup)
  await uncordonAnnotated(context)
  await restartEach(context)
  await verify(context, backup)
  await endRestore(cluster)
  log.info(`   the data of ${backup.takenAt} is restored; later writes are lost`)
  return 0
}

/** Restores the machine secrets of a destroyed cluster from its final backup. */
function planSecrets({
  bringsSecrets,
  file,
}: Pick<ChosenBackup, 'bringsSecrets' | 'file'>): Change[] {
  if (!bringsSecrets) return []
  const summary = `Restore ${secretsFile}, which is stored with ${file}`
  return [{ kind: 'put-back-secrets', target: secretsFile, summary, risk: 'none' }]
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

/** The changes of a restore on control planes without data. */
export function planRestore(
  { controlPlanes }: Pick<UpgradeContext['cluster'], 'controlPlanes'>,
  { file, takenAt, bringsSecrets }: Pick<ChosenBackup, 'file' | 'takenAt' | 'bringsSecrets'>,
): Change[] {
  return [
    ...planSecrets({ file, bringsSecrets }),
    {
      kind: 'restore-etcd',
      target: 'etcd',
      summary: `Restore etcd from ${file}`,
      to: takenAt,
      risk: 'data-loss',
    },
    ...controlPlanes.map(({ name }) => ({
      kind: 'restart',
      target: name,
      summary: `Restart ${name} to verify that the restored data persists`,
      risk: 'restart' as const,
    })),
  ]
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

/** Options of the gate after a restore, when cordons are as old as the backup. */
function gateOf({ cluster }: UpgradeContext) {
  return { withinMs: rebootTimeoutMs(cluster), cordons: false }
}

async function verify(context: UpgradeContext, backup: Backup): Promise<void> {
  const { cluster, kubernetes, log } = context
  await inStep(log, `Verify that etcd has the data of ${backup.file}`, async () => {
    await passGate(context, [], 'etcd was restored', gateOf(context))
    const because = await findDataProblem(kubernetes, backup)
    if (because === undefined) return
    throw new Problem('RESTORE_UNPROVEN', `the running cluster is not the one of ${backup.file}`, {
      because,
      now: 'etcd is running with other data',
      hint: `CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:restore')} restores it again`,
    })
  })
}

/** Why the running cluster does not have the data of a backup; undefined when it has. */
async function findDataProblem(
  kubernetes: Pick<Kubernetes, 'read'>,
  { identity, revision }: Pick<Backup, 'identity' | 'revision'>,
): Promise<string | undefined> {
  try {
    const runs = await readIdentity(kubernetes)
    if (identity !== undefined && runs !== identity)
      return `kube-system has the UID ${runs}, but ${identity} in the backup`
    const now = await readRevision(kubernetes)
    return now >= revision ? undefined : `etcd is at revision ${now}, the backup at ${revision}`
  } catch (error) {
    return `could not read the data from Kubernetes: ${reasonOf(error)}`
  }
}

/** Uncordons nodes that an upgrade had cordoned when the backup was taken; other cordons stay. */
async function uncordonAnnotated(context: UpgradeContext): Promise<void> {
  const { kubernetes, log } = context
  const nodes = await kubernetes.list<NodeObject>('/api/v1/nodes')
  for (const { metadata, spec } of nodes)
    if (await uncordon(context, metadata))
      log.info(`   ${metadata.name} was in the middle of an upgrade in the backup: uncordoned`)
    else if (spec?.unschedulable === true)
      log.warn(`${metadata.name} is cordoned, as it was in the backup`)
}

/** Restarts every control plane: a badly restored member fails at its first restart. */
async function restartEach(context: UpgradeContext): Promise<void> {
  const { cluster, talosctl, log } = context
  const left = new Set(cluster.controlPlanes.map(({ name }) => name))
  while (left.size > 0) {
    const leader = leaderOf(
      cluster.controlPlanes,
      await observeEtcdFacts(cluster, talosctl, context.secrets),
    )
    const turn = nextTurn(cluster, left, { leader, unfinished: new Set() })
    for (const node of turn) {
      await passGate(context, [node], 'etcd was restored', gateOf(context))
      await inStep(log, `Restart ${node.name}`, async () => {
        const { talosVersion: version, schematic } = await readNode(node, talosctl)
        const before = await readBootId(node, talosctl)
        await restart(context, node, before, undefined)
        await waitForReboot(context, node, before, { version, schematic })
      })
      left.delete(node.name)
    }
  }
}
