import {
  applyAll,
  commandFor,
  Problem,
  reasonOf,
  waitFor,
  type Change,
  type Cluster,
  type ExitCode,
  inStep,
} from '@talosmith/core'
import { checkTalosconfig } from '../generated/access.ts'
import { bootstrapEtcd } from '../configure/apply-start.ts'
import { applyChange } from '../configure/apply.ts'
import { configure } from '../configure/configure.ts'
import { leaderOf, observeEtcdFacts, observeEtcdState } from '@talosmith/clients/etcd'
import { type Kubernetes, type NodeObject } from '@talosmith/clients/kubernetes'
import { planTalosconfig, type BootstrapChange } from '../configure/plan.ts'
import { readSecrets, secretsFile, writeSecrets } from '../generated/secrets.ts'
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
import {
  chooseBackup,
  readIdentity,
  readKeptSecrets,
  readRevision,
  type Backup,
  type ChosenBackup,
} from './backup.ts'

/** What a restore takes from a script. */
export type RestoreScript = UpgradeScript & {
  readonly options: { readonly snapshot?: string | undefined }
}

/** What a restore begins with; access to Kubernetes comes with etcd. */
type RestoreTools = Pick<UpgradeContext, 'cluster' | 'log' | 'talosctl' | 'secrets'>

/** The stages of cluster:up that a restore goes through, too. */
const stages = { configure, startCluster }

/** The snapshot that a restore would take, checked; throws before anything is changed. */
export async function findBackup({
  options,
  cluster,
}: Pick<RestoreScript, 'cluster' | 'options'>): Promise<ChosenBackup> {
  return chooseBackup(cluster, await readSecrets(cluster), options.snapshot)
}

/**
 * Brings etcd back from a snapshot on control planes without data, restarts each once, and proves
 * before and after that it is the cluster of the snapshot. Secrets and the snapshot are all it needs.
 */
export async function restoreEtcd(
  script: RestoreScript,
  given?: UpgradeContext,
  { configure, startCluster } = stages,
): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan } = script
  const backup = await chooseBackup(
    cluster,
    given?.secrets ?? (await readSecrets(cluster)),
    script.options.snapshot,
  )
  if (backup.bringsSecrets) {
    // No machine has been seen with these secrets: there is no data that they could show.
    if (dryRun) return showPlan(planRestore(cluster, backup))
    await applyAll(planSecrets(backup), () => putSecretsBack(cluster, backup), { log })
  }
  const tools = given ?? (await openRestore(script))
  const access = given === undefined ? await planAccess(tools) : []
  if (!dryRun) await applyAll(access, (change) => applyChange(change, tools), { log })
  await refuseData(tools)
  if (dryRun) return showPlan([...access, ...planRestore(cluster, backup)])
  await configure(script, tools.talosctl)
  const [first] = cluster.controlPlanes
  if (first === undefined) return 0
  await waitFor('the control planes to say that they have no data', () => refuseData(tools, true), {
    log,
    withinMs: rebootTimeoutMs(cluster),
    code: 'ETCD_DOWN',
    hint: commandFor(cluster, 'vm:status'),
  })
  await inStep(log, `Bring etcd back from ${backup.file} on ${first.name}`, () =>
    bootstrapEtcd(tools, first, backup.path),
  )
  await startCluster(script)
  const context = given ?? (await openUpgrade(script, tools.talosctl))
  await prove(context, backup)
  await freeMachines(context)
  await restartEach(context)
  await prove(context, backup)
  log.info(`   everything until ${backup.takenAt} is back; what was written later is not`)
  return 0
}

/** The machine secrets of a destroyed cluster come back with its final backup. */
function planSecrets({
  bringsSecrets,
  file,
}: Pick<ChosenBackup, 'bringsSecrets' | 'file'>): Change[] {
  if (!bringsSecrets) return []
  const summary = `Put back ${secretsFile}, which was kept with ${file}`
  return [{ kind: 'put-back-secrets', target: secretsFile, summary, risk: 'none' }]
}

async function putSecretsBack(cluster: Cluster, backup: ChosenBackup): Promise<void> {
  const text = await readKeptSecrets(cluster, backup)
  if (text !== undefined) await writeSecrets(cluster, text)
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

/** Without a talosconfig nobody could be asked whether there is data. */
async function planAccess({ cluster, secrets }: RestoreTools): Promise<BootstrapChange[]> {
  const fault = await checkTalosconfig(cluster, secrets)
  return fault === undefined ? [] : [planTalosconfig(fault)]
}

/** What a restore does once the control planes are empty. */
export function planRestore(
  { controlPlanes }: Pick<UpgradeContext['cluster'], 'controlPlanes'>,
  { file, takenAt, bringsSecrets }: Pick<ChosenBackup, 'file' | 'takenAt' | 'bringsSecrets'>,
): Change[] {
  return [
    ...planSecrets({ file, bringsSecrets }),
    {
      kind: 'restore-etcd',
      target: 'etcd',
      summary: `Bring etcd back from ${file}`,
      to: takenAt,
      risk: 'data-loss',
    },
    ...controlPlanes.map(({ name }) => ({
      kind: 'restart',
      target: name,
      summary: `Restart ${name}, to see that what was brought back stays`,
      risk: 'restart' as const,
    })),
  ]
}

/** Throws RESTORE_REFUSED when etcd has data, which a restore would have to throw away. */
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
  throw new Problem('RESTORE_REFUSED', `the control planes of ${cluster.name} have data`, {
    because: state === 'running' ? 'etcd runs' : 'etcd does not run, but its data is there',
    now: 'nothing was changed',
    hint: `to throw their disks away and restore onto new ones: CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:restore')}`,
  })
}

/** What a snapshot says of cordons is of the day when it was taken. */
function gateOf({ cluster }: UpgradeContext) {
  return { withinMs: rebootTimeoutMs(cluster), cordons: false }
}

async function prove(context: UpgradeContext, backup: Backup): Promise<void> {
  const { cluster, kubernetes, log } = context
  await inStep(log, `Prove that the data of ${backup.file} is there`, async () => {
    await passGate(context, [], 'etcd was brought back', gateOf(context))
    const because = await dataFault(kubernetes, backup)
    if (because === undefined) return
    throw new Problem('RESTORE_UNPROVEN', `what runs is not the cluster of ${backup.file}`, {
      because,
      now: 'etcd runs with other data',
      hint: `CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:restore')} begins anew`,
    })
  })
}

/** Why what runs is not what a snapshot holds, and maybe more; undefined: it is. */
async function dataFault(
  kubernetes: Pick<Kubernetes, 'read'>,
  { identity, revision }: Pick<Backup, 'identity' | 'revision'>,
): Promise<string | undefined> {
  try {
    const runs = await readIdentity(kubernetes)
    if (identity !== undefined && runs !== identity)
      return `kube-system has the UID ${runs}, in the snapshot it has ${identity}`
    const now = await readRevision(kubernetes)
    return now >= revision ? undefined : `etcd is at revision ${now}, the snapshot at ${revision}`
  } catch (error) {
    return `Kubernetes does not show its data: ${reasonOf(error)}`
  }
}

/** Takes our marks away that the snapshot has brought back; what others have cordoned stays so. */
async function freeMachines(context: UpgradeContext): Promise<void> {
  const { kubernetes, log } = context
  const nodes = await kubernetes.list<NodeObject>('/api/v1/nodes')
  for (const { metadata, spec } of nodes)
    if (await uncordon(context, metadata))
      log.info(`   ${metadata.name} was in the middle of an upgrade in the snapshot: uncordoned`)
    else if (spec?.unschedulable === true)
      log.warn(`${metadata.name} is cordoned, as it was in the snapshot`)
}

/** A member that was brought back wrongly shows it at its first restart. */
async function restartEach(context: UpgradeContext): Promise<void> {
  const { cluster, talosctl, log } = context
  const left = new Set(cluster.controlPlanes.map(({ name }) => name))
  while (left.size > 0) {
    const leader = leaderOf(await observeEtcdFacts(cluster, talosctl, context.secrets))
    const turn = nextTurn(cluster, left, { leader, unfinished: new Set() })
    for (const node of turn) {
      await passGate(context, [node], 'etcd was brought back', gateOf(context))
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
