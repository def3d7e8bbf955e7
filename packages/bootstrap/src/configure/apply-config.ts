/** Applies machine configs: the first one, or a changed one. */
import {
  codes,
  generatedFiles,
  minute,
  Unrecoverable,
  waitFor,
  type Cluster,
  type Node,
} from '@talosmith/core'
import { lookAt, type ApplyContext } from './apply-context.ts'
import { planConfigUpdate } from '../config/config-update.ts'
import {
  judgeEtcd,
  mayRunEtcd,
  observeEtcdFacts,
  type EtcdFacts,
  type EtcdProblem,
} from '@talosmith/clients/etcd'
import { configReason } from '../config/config-reason.ts'
import { configFile } from '../config/machine-config.ts'
import { isMachineReady, probe, grpcCode } from '@talosmith/clients/talos'
import { observeNodeStates } from './observe.ts'
import { waitForState } from './state-volume.ts'
import { withWorkFolder } from '../generated/work-folder.ts'

const answerMs = 10 * minute

/**
 * Applies the config of a machine in maintenance mode, and waits until it presents a certificate of our CA and has
 * saved the config.
 */
export async function configureNode(context: ApplyContext, node: Node): Promise<void> {
  const { cluster, talosctl, log, secrets } = context
  const files = generatedFiles(cluster)
  const path = files.path(configFile(node))
  await waitFor(
    `${node.name} to accept its machine config`,
    async () => {
      try {
        await talosctl.askInsecurely(node.address, ['apply-config', `--file=${path}`], minute)
      } catch (error) {
        // An earlier run applied it, and was killed before it received the answer.
        if ((await probe(node.address, secrets?.talosCa)).kind === 'ours') return
        throw refusal(error, (await files.read(configFile(node))) ?? '')
      }
    },
    { log, withinMs: 3 * minute, code: 'CONFIG_REJECTED', hint: correctIt },
  )
  await waitFor(
    `${node.name} to run its new machine config`,
    async () => {
      const observed = await probe(node.address, secrets?.talosCa)
      if (observed.kind === 'ours') return
      throw new Error(
        observed.kind === 'maintenance'
          ? `${node.name} is still in maintenance mode`
          : observed.reason,
      )
    },
    { log, withinMs: answerMs, code: 'NODE_NOT_CONFIGURED', hint: lookAt(node) },
  )
  await waitForState(context, node)
}

const correctIt = 'correct the settings or patches, then run the same command again'

/** Without the values of the config: a machine quotes what it rejects. */
function refusal(error: unknown, config: string): Error {
  const reason = configReason(error, [config])
  return grpcCode(error) === 'InvalidArgument' ? new Unrecoverable(reason) : new Error(reason)
}

/**
 * Applies a changed config to a running machine, and waits until it is in effect, after a reboot if it
 * `reboots`. Never reboots a control plane while etcd needs it (GATE_CLOSED).
 */
export async function updateNode(
  context: ApplyContext,
  node: Node,
  { reboots }: { readonly reboots: boolean },
): Promise<void> {
  const { cluster, talosctl, log, secrets, updates } = context
  const text = updates?.get(node.name)
  if (text === undefined) throw new Error(`no config for ${node.name}`)
  const wasReady = await isMachineReady(node, talosctl)
  const isOneOfSeveral = node.role === 'controlplane' && cluster.controlPlanes.length > 1
  const guardsEtcd =
    node.role === 'controlplane' &&
    // Without a reboot, the config may be what a machine that is not ready needs.
    (wasReady ? isOneOfSeveral || reboots : reboots && (await mayRunEtcd(node, talosctl)))
  if (guardsEtcd) await waitForEtcd(context, node, wasReady)
  await withWorkFolder(cluster, async (folder) => {
    await folder.write('config.yaml', text)
    const args = ['apply-config', '--mode=auto', `--file=${folder.path('config.yaml')}`]
    await waitFor(
      `${node.name} to accept its machine config`,
      () =>
        talosctl.ask([node.address], args, { timeoutMs: minute }).catch((error: unknown) => {
          throw refusal(error, text)
        }),
      { log, withinMs: 3 * minute, code: 'CONFIG_REJECTED', hint: correctIt },
    )
  })
  await waitFor(
    `${node.name} to run its new machine config`,
    async () => {
      const [observed] = await observeNodeStates(cluster, talosctl, secrets, [node])
      if (observed?.state.kind !== 'running')
        throw new Error(
          observed?.state.kind === 'silent' ? observed.state.reason : 'it is not configured',
        )
      if (
        planConfigUpdate(text, observed.state.config, { movesInstaller: true }).text !== undefined
      )
        throw new Error('it still runs its previous config')
      if (wasReady && !(await isMachineReady(node, talosctl)))
        throw new Error('it is not ready yet')
    },
    {
      log,
      withinMs: answerMs,
      everyMs: 500,
      code: 'NODE_NOT_CONFIGURED',
      hint: lookAt(node),
    },
  )
  if (wasReady && isOneOfSeveral) await waitForEtcd(context, node, true)
}

/** What makes it unsafe for etcd to restart a control plane now; undefined: nothing. Pure. */
export function restartProblem(
  cluster: Pick<Cluster, 'controlPlanes'>,
  { name }: Pick<Node, 'name'>,
  etcd: EtcdFacts,
  isReady: boolean,
): EtcdProblem | undefined {
  // The only member has no quorum to lose.
  if (cluster.controlPlanes.length === 1 && etcd.members.length <= 1) return undefined
  // One that is not ready may be what is wrong with etcd; the others have to be well without it.
  return judgeEtcd(cluster, etcd).find(({ who }) => isReady || who !== name)
}

async function waitForEtcd(
  { cluster, talosctl, log, secrets }: ApplyContext,
  node: Node,
  isReady: boolean,
): Promise<void> {
  await waitFor(
    isReady ? 'etcd to have all control planes' : `etcd to be able to do without ${node.name}`,
    async () => {
      const etcd = await observeEtcdFacts(cluster, talosctl, { talosCa: secrets?.talosCa })
      const problem = restartProblem(cluster, node, etcd, isReady)
      if (problem === undefined) return
      const reason = `${problem.who}: ${problem.why}`
      throw problem.final ? new Unrecoverable(reason) : new Error(reason)
    },
    { log, withinMs: 5 * minute, code: codes.gateClosed, hint: 'fix that control plane first' },
  )
}
