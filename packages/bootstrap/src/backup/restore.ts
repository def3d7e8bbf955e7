import { commandFor, Problem, reasonOf, waitFor, type Change, type ExitCode } from '@talosmith/core'
import { bootstrapEtcd } from '../apply-start.ts'
import { configure } from '../configure.ts'
import { observeEtcd } from '../etcd.ts'
import { startCluster } from '../start.ts'
import { leaderOf } from '../upgrade/etcd-facts.ts'
import { readBootId, readNode } from '../upgrade/node-facts.ts'
import { observeMembers } from '../upgrade/observe-gate.ts'
import { nextTurn } from '../upgrade/order.ts'
import { passGate } from '../upgrade/pass-gate.ts'
import { restart, waitForComeback } from '../upgrade/restart.ts'
import {
  comebackMs,
  openUpgrade,
  type UpgradeContext,
  type UpgradeScript,
} from '../upgrade/upgrade-context.ts'
import { inStep } from '../upgrade/upgrade-machine.ts'
import { chooseBackup, readIdentity, type Backup } from './backup.ts'

/** What a restore takes from a script. */
export type RestoreScript = UpgradeScript & {
  readonly options: { readonly snapshot?: string | undefined }
}

/** The snapshot that a restore would take, checked; throws before anything is changed. */
export async function findBackup({
  options,
  ...script
}: Pick<RestoreScript, 'cluster' | 'log' | 'hosts' | 'options'>): Promise<Backup> {
  const { cluster, secrets } = await openUpgrade(script)
  return chooseBackup(cluster, secrets, options.snapshot)
}

/**
 * Brings etcd back from a snapshot on control planes without data, restarts each once, and proves
 * before and after that it is the cluster of the snapshot.
 */
export async function restoreEtcd(
  script: RestoreScript,
  given?: UpgradeContext,
): Promise<ExitCode> {
  const { cluster, log, dryRun, showPlan } = script
  const context = given ?? (await openUpgrade(script))
  const backup = await chooseBackup(cluster, context.secrets, script.options.snapshot)
  await refuseData(context)
  if (dryRun) return showPlan(planRestore(cluster, backup))
  await configure(script, context.talosctl)
  const [first] = cluster.controlPlanes
  if (first === undefined) return 0
  await waitFor(
    'the control planes to say that they have no data',
    () => refuseData(context, true),
    {
      log,
      withinMs: comebackMs(cluster),
      code: 'ETCD_DOWN',
      hint: commandFor(cluster, 'vm:status'),
    },
  )
  await inStep(log, `Bring etcd back from ${backup.file} on ${first.name}`, () =>
    bootstrapEtcd(context, first, backup.path),
  )
  await startCluster(script)
  await prove(context, backup)
  await restartEach(context)
  await prove(context, backup)
  log.info(`   everything until ${backup.takenAt} is back; what was written later is not`)
  return 0
}

/** What a restore does once the control planes are empty. */
export function planRestore(
  { controlPlanes }: Pick<UpgradeContext['cluster'], 'controlPlanes'>,
  { file, takenAt }: Pick<Backup, 'file' | 'takenAt'>,
): Change[] {
  return [
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
  { cluster, talosctl, secrets }: UpgradeContext,
  isConfigured = false,
): Promise<void> {
  const state = await observeEtcd(cluster, talosctl, secrets).catch((error: unknown) => {
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

async function prove(context: UpgradeContext, backup: Backup): Promise<void> {
  const { cluster, kubernetes, log } = context
  await inStep(log, `Prove that the data of ${backup.file} is there`, async () => {
    await passGate(context, [], 'etcd was brought back', comebackMs(cluster))
    const identity = await readIdentity(kubernetes).catch((error: unknown) => reasonOf(error))
    if (identity === backup.identity) return
    throw new Problem('RESTORE_UNPROVEN', `what runs is not the cluster of ${backup.file}`, {
      because: `kube-system has the UID ${identity}, in the snapshot it has ${backup.identity}`,
      now: 'etcd runs with other data',
      hint: `CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:restore')} begins anew`,
    })
  })
}

/** A member that was brought back wrongly shows it at its first restart. */
async function restartEach(context: UpgradeContext): Promise<void> {
  const { cluster, talosctl, log } = context
  const left = new Set(cluster.controlPlanes.map(({ name }) => name))
  while (left.size > 0) {
    const leader = leaderOf(await observeMembers(context))
    const turn = nextTurn(cluster, left, { leader, unfinished: new Set() })
    for (const node of turn) {
      await passGate(context, [node], 'etcd was brought back', comebackMs(cluster))
      await inStep(log, `Restart ${node.name}`, async () => {
        const { talosVersion: version, schematic } = await readNode(node, talosctl)
        const before = await readBootId(node, talosctl)
        await restart(context, node, before, undefined)
        await waitForComeback(context, node, before, { version, schematic })
      })
      left.delete(node.name)
    }
  }
}
