import {
  generatedFiles,
  Hopeless,
  Problem,
  waitFor,
  type Cluster,
  type Log,
  type Node,
} from '@talosmith/core'
import { parseKubeconfig } from './access.ts'
import { planConfigUpdate } from './config-update.ts'
import { askEtcd, etcdFault, etcdServiceFault } from './etcd.ts'
import { writeConfigs, writeTalosconfig, type ObservedHome } from './home.ts'
import { configFile } from './machine-config.ts'
import { observeNodes } from './observe.ts'
import { isReady } from './machine-status.ts'
import type { BootstrapChange } from './plan.ts'
import { probe } from './probe.ts'
import { createSecrets, type PublicSecrets } from './secrets.ts'
import type { Talosctl } from './talosctl.ts'
import { grpcCode, talosReason } from './talos-output.ts'
import { withWorkFolder } from './work-folder.ts'

/** What changes are carried out with. */
export interface ApplyContext {
  readonly cluster: Cluster
  readonly talosctl: Talosctl
  readonly log: Log
  readonly home?: ObservedHome
  readonly secrets?: PublicSecrets
  /** Configs for machines that run already, by name. */
  readonly updates?: ReadonlyMap<string, string>
}

const minute = 60_000
const answerMs = 10 * minute

const actions: Record<
  BootstrapChange['kind'],
  (context: ApplyContext, target: string) => Promise<void>
> = {
  'create-secrets': ({ cluster, talosctl }) => createSecrets(cluster, talosctl),
  async 'write-configs'({ cluster, home }) {
    if (home?.desired === undefined) throw new Error('no configs were made')
    await writeConfigs(cluster, home.desired, home.digest)
  },
  'write-talosconfig': ({ cluster, talosctl }) => writeTalosconfig(cluster, talosctl),
  'apply-config': (context, target) => configureNode(context, nodeOf(context.cluster, target)),
  'update-config': (context, target) => updateNode(context, nodeOf(context.cluster, target)),
  'bootstrap-etcd': (context, target) => bootstrapEtcd(context, nodeOf(context.cluster, target)),
  'write-kubeconfig': (context) => writeKubeconfig(context),
}

/** Carries out one change and waits for its effect; may be repeated. */
export async function applyChange(change: BootstrapChange, context: ApplyContext): Promise<void> {
  await actions[change.kind](context, change.target)
}

/** Gives a machine in maintenance mode its config, and waits until it shows our certificate. */
async function configureNode(context: ApplyContext, node: Node): Promise<void> {
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
  return grpcCode(error) === 'InvalidArgument' ? new Hopeless(reason) : new Error(reason)
}

function lookAt({ name }: Node): string {
  return `look at its console (virsh console ${name}), then run the same command again`
}

/**
 * Sends a running machine its changed config, and waits until it runs with it: a config that needs a
 * reboot is in force only after it. Never takes a control plane from an etcd that can't spare it.
 */
async function updateNode(context: ApplyContext, node: Node): Promise<void> {
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
      const [seen] = await observeNodes(cluster, talosctl, secrets, [node])
      if (seen?.state.kind !== 'running')
        throw new Error(seen?.state.kind === 'silent' ? seen.state.reason : 'it is not configured')
      if (planConfigUpdate(text, seen.state.config).text !== undefined)
        throw new Error('it runs with the config it had before')
      if (wasReady && !(await isReady(node, talosctl))) throw new Error('it is not ready yet')
    },
    { log, withinMs: answerMs, code: 'NODE_NOT_CONFIGURED', hint: lookAt(node) },
  )
  if (guardsEtcd) await waitForEtcd(context)
}

async function waitForEtcd({ cluster, talosctl, log }: ApplyContext): Promise<void> {
  await waitFor(
    'etcd to have all control planes',
    async () => {
      const fault = etcdFault(cluster.controlPlanes, await askEtcd(cluster, talosctl))
      if (fault !== undefined) throw new Error(fault)
    },
    { log, withinMs: 5 * minute, code: 'ETCD_UNSAFE', hint: 'mend that control plane first' },
  )
}

async function bootstrapEtcd({ talosctl, log }: ApplyContext, node: Node): Promise<void> {
  await waitFor(
    `${node.name} to bootstrap etcd`,
    async () => {
      try {
        await talosctl.ask([node.address], ['bootstrap'], { timeoutMs: minute / 2 })
      } catch (error) {
        const code = grpcCode(error)
        // A run before us did it.
        if (code === 'AlreadyExists') return
        const reason = talosReason(error)
        if (code === 'Unimplemented' || code === 'PermissionDenied') throw new Hopeless(reason)
        throw new Error(reason)
      }
    },
    { log, withinMs: 5 * minute, code: 'BOOTSTRAP_FAILED', hint: lookAt(node) },
  )
  await waitFor(
    `etcd to run on ${node.name}`,
    async () => {
      const fault = await etcdServiceFault(node, talosctl)
      if (fault !== undefined) throw new Error(fault)
    },
    {
      log,
      withinMs: 10 * minute,
      code: 'BOOTSTRAP_FAILED',
      hint: 'mend what the reason names (registry, name server, clock), then run the same command again',
    },
  )
}

async function writeKubeconfig({ cluster, talosctl, log }: ApplyContext): Promise<void> {
  const text = await withWorkFolder(cluster, (folder) => {
    const path = folder.path('kubeconfig')
    let turn = 0
    return waitFor(
      'a control plane to hand out a kubeconfig',
      async () => {
        const node = cluster.controlPlanes[turn++ % cluster.controlPlanes.length]
        try {
          await talosctl.ask(
            [node?.address ?? ''],
            ['kubeconfig', path, '--merge=false', '--force'],
          )
        } catch (error) {
          throw new Error(`${node?.name}: ${talosReason(error)}`)
        }
        return folder.read('kubeconfig')
      },
      {
        log,
        withinMs: 5 * minute,
        code: 'KUBECONFIG_FAILED',
        hint: 'npx nx run bootstrap:configure, then run the same command again',
      },
    )
  })
  const { server } = parseKubeconfig(text)
  if (server !== cluster.endpoint)
    throw new Problem(
      'KUBECONFIG_FAILED',
      `the kubeconfig is for ${server}, not ${cluster.endpoint}`,
      {
        because: 'the machines still have the config from before the endpoint was changed',
        hint: 'npx nx run bootstrap:configure, then run the same command again',
      },
    )
  await generatedFiles(cluster).write('kubeconfig', text)
}

function nodeOf({ nodes, name }: Cluster, target: string): Node {
  const node = nodes.find((one) => one.name === target)
  if (node === undefined) throw new Error(`${target} is no machine of cluster ${name}`)
  return node
}
