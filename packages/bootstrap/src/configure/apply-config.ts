/** Gives machines their config, the first one or a changed one. */
import { generatedFiles, Unrecoverable, waitFor, type Node } from '@talosmith/core'
import { lookAt, minute, type ApplyContext } from './apply-context.ts'
import { planConfigUpdate } from '../config/config-update.ts'
import { judgeEtcd, observeEtcdFacts } from '@talosmith/clients/etcd'
import { configFile } from '../config/machine-config.ts'
import { isReady, probe, grpcCode, talosReason } from '@talosmith/clients/talos'
import { observeNodeStates } from './observe.ts'
import { withWorkFolder } from '../generated/work-folder.ts'

const answerMs = 10 * minute

/** Gives a machine in maintenance mode its config, and waits until it shows our certificate. */
export async function configureNode(context: ApplyContext, node: Node): Promise<void> {
  const { cluster, talosctl, log, secrets } = context
  const path = generatedFiles(cluster).path(configFile(node))
  await waitFor(
    `${node.name} to take its machine config`,
    async () => {
      try {
        await talosctl.askInsecurely(node.address, ['apply-config', `--file=${path}`], minute)
      } catch (error) {
        // A run that was killed before it saw the answer did it.
        if ((await probe(node.address, secrets?.talosCa)).kind === 'ours') return
        throw refusal(error)
      }
    },
    { log, withinMs: 3 * minute, code: 'CONFIG_REJECTED', hint: correctIt },
  )
  await waitFor(
    `${node.name} to run with its machine config`,
    async () => {
      const seen = await probe(node.address, secrets?.talosCa)
      if (seen.kind === 'ours') return
      throw new Error(
        seen.kind === 'maintenance' ? `${node.name} is in maintenance mode still` : seen.reason,
      )
    },
    { log, withinMs: answerMs, code: 'NODE_NOT_CONFIGURED', hint: lookAt(node) },
  )
}

const correctIt = 'correct the settings or patches, then run the same command again'

function refusal(error: unknown): Error {
  const reason = talosReason(error)
  return grpcCode(error) === 'InvalidArgument' ? new Unrecoverable(reason) : new Error(reason)
}

/**
 * Sends a running machine its changed config, and waits until it runs with it: a config that needs a
 * reboot is in force only after it. Never takes a control plane from an etcd that can't spare it.
 */
export async function updateNode(context: ApplyContext, node: Node): Promise<void> {
  const { cluster, talosctl, log, secrets, updates } = context
  const text = updates?.get(node.name)
  if (text === undefined) throw new Error(`no config for ${node.name}`)
  const wasReady = await isReady(node, talosctl)
  const guardsEtcd = wasReady && node.role === 'controlplane' && cluster.controlPlanes.length > 1
  if (guardsEtcd) await waitForEtcd(context)
  await withWorkFolder(cluster, async (folder) => {
    await folder.write('config.yaml', text)
    const args = ['apply-config', '--mode=auto', `--file=${folder.path('config.yaml')}`]
    await waitFor(
      `${node.name} to take its machine config`,
      () =>
        talosctl.ask([node.address], args, { timeoutMs: minute }).catch((error: unknown) => {
          throw refusal(error)
        }),
      { log, withinMs: 3 * minute, code: 'CONFIG_REJECTED', hint: correctIt },
    )
  })
  await waitFor(
    `${node.name} to run with its machine config`,
    async () => {
      const [seen] = await observeNodeStates(cluster, talosctl, secrets, [node])
      if (seen?.state.kind !== 'running')
        throw new Error(seen?.state.kind === 'silent' ? seen.state.reason : 'it is not configured')
      if (planConfigUpdate(text, seen.state.config, { movesInstaller: true }).text !== undefined)
        throw new Error('it runs with the config it had before')
      if (wasReady && !(await isReady(node, talosctl))) throw new Error('it is not ready yet')
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
    { log, withinMs: 5 * minute, code: 'ETCD_UNSAFE', hint: 'mend that control plane first' },
  )
}
