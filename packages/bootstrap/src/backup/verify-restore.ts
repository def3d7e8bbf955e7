/** After a restore: verifies that the running cluster is that of the backup, and that each control plane keeps it. */
import { commandFor, inStep, Problem, reasonOf } from '@talosmith/core'
import { leaderOf, observeEtcdFacts } from '@talosmith/clients/etcd'
import { type Kubernetes, type NodeObject } from '@talosmith/clients/kubernetes'
import { readBootId, readNode } from '@talosmith/clients/talos'
import { type Backup } from '../generated/backups.ts'
import { rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'
import { uncordon } from '../restart/cordon.ts'
import { nextTurn } from '../restart/order.ts'
import { passGate } from '../restart/pass-gate.ts'
import { restart, waitForReboot } from '../restart/restart.ts'
import { readIdentity, readRevision } from './backup.ts'

/** Options of the gate after a restore, when cordons are as old as the backup. */
function gateOf({ cluster }: UpgradeContext) {
  return { withinMs: rebootTimeoutMs(cluster), cordons: false }
}

/** Throws RESTORE_UNPROVEN unless the healthy etcd has the data of the backup. */
export async function verifyData(context: UpgradeContext, backup: Backup): Promise<void> {
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
export async function uncordonAnnotated(context: UpgradeContext): Promise<void> {
  const { kubernetes, log } = context
  const nodes = await kubernetes.list<NodeObject>('/api/v1/nodes')
  for (const { metadata, spec } of nodes)
    if (await uncordon(context, metadata))
      log.info(`   ${metadata.name} was in the middle of an upgrade in the backup: uncordoned`)
    else if (spec?.unschedulable === true)
      log.warn(`${metadata.name} is cordoned, as it was in the backup`)
}

/** Restarts every control plane: a badly restored member fails at its first restart. */
export async function restartEach(context: UpgradeContext): Promise<void> {
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
