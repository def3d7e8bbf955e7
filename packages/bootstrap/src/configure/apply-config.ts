/** Applies machine configs: the first one, or a changed one. */
import { generatedFiles, minute, Unrecoverable, waitFor, type Node } from '@talosmith/core'
import { lookAt, type ApplyContext } from './apply-context.ts'
import { planConfigUpdate } from '../config/config-update.ts'
import { judgeEtcd, observeEtcdFacts } from '@talosmith/clients/etcd'
import { configReason } from '../config/config-reason.ts'
import { configFile } from '../config/machine-config.ts'
import { isMachineReady, probe, grpcCode } from '@talosmith/clients/talos'
import { observeNodeStates } from './observe.ts'
import { withWorkFolder } from '../generated/work-folder.ts'

const answerMs = 10 * minute

/** Applies the config of a machine in maintenance mode, and waits until it presents a certificate of our CA. */
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
}

const correctIt = 'correct the settings or patches, then run the same command again'

/** Without the values of the config: a machine quotes what it rejects. */
function refusal(error: unknown, config: string): Error {
  const reason = configReason(error, [config])
  return grpcCode(error) === 'InvalidArgument' ? new Unrecoverable(reason) : new Error(reason)
}

/**
 * Applies a changed config to a running machine, and waits until it is in effect, after a reboot if it
 * needs one. Never reboots a control plane while etcd is unhealthy.
 */
export async function updateNode(context: ApplyContext, node: Node): Promise<void> {
  const { cluster, talosctl, log, secrets, updates } = context
  const text = updates?.get(node.name)
  if (text === undefined) throw new Error(`no config for ${node.name}`)
  const wasReady = await isMachineReady(node, talosctl)
  const guardsEtcd = wasReady && node.role === 'controlplane' && cluster.controlPlanes.length > 1
  if (guardsEtcd) await waitForEtcd(context)
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
  if (guardsEtcd) await waitForEtcd(context)
}

async function waitForEtcd({ cluster, talosctl, log, secrets }: ApplyContext): Promise<void> {
  await waitFor(
    'etcd to have all control planes',
    async () => {
      const etcd = await observeEtcdFacts(cluster, talosctl, { talosCa: secrets?.talosCa })
      const [first] = judgeEtcd(cluster, etcd)
      if (first !== undefined) throw new Error(`${first.who}: ${first.why}`)
    },
    { log, withinMs: 5 * minute, code: 'ETCD_UNSAFE', hint: 'fix that control plane first' },
  )
}
