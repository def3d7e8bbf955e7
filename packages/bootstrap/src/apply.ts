import {
  CommandFailed,
  generatedFiles,
  Hopeless,
  waitFor,
  type Cluster,
  type Log,
  type Node,
} from '@talosmith/core'
import { configFile, generateConfigs, readInputs, workFolder } from './machine-config.ts'
import { observeNode } from './observe.ts'
import type { BootstrapChange } from './plan.ts'
import { createSecrets, readSecrets } from './secrets.ts'
import { talosReason, type Talosctl } from './talosctl.ts'

export interface ApplyContext {
  readonly cluster: Cluster
  readonly talosctl: Talosctl
  readonly log: Log
}

const actions: Record<
  BootstrapChange['kind'],
  (context: ApplyContext, target: string) => Promise<void>
> = {
  async 'create-secrets'({ cluster, talosctl }) {
    const files = generatedFiles(cluster)
    await files.remove(workFolder)
    await files.write(`${workFolder}/.keep`, '')
    try {
      await createSecrets(cluster, talosctl, workFolder)
    } finally {
      await files.remove(workFolder)
    }
  },
  async 'generate-configs'({ cluster, talosctl }) {
    const secrets = await readSecrets(cluster)
    if (secrets === undefined) throw new Error('no secrets to generate configs from')
    await generateConfigs(
      cluster,
      await readInputs(cluster, secrets.digest, talosctl.version),
      talosctl,
    )
  },
  async 'apply-config'(context, target) {
    const node = nodeOf(context.cluster, target)
    await sendConfig(context, node, true)
    await waitUntilConfigured(context, node)
  },
  async 'update-config'(context, target) {
    const node = nodeOf(context.cluster, target)
    await sendConfig(context, node, false)
    await waitUntilConfigured(context, node)
  },
  'bootstrap-etcd': (context, target) => bootstrapEtcd(context, nodeOf(context.cluster, target)),
  'write-kubeconfig': (context) => writeKubeconfig(context),
}

/** Carries out one change and waits for its effect; may be repeated. */
export async function applyChange(change: BootstrapChange, context: ApplyContext): Promise<void> {
  await actions[change.kind](context, change.target)
}

async function sendConfig(
  { cluster, talosctl, log }: ApplyContext,
  node: Node,
  insecurely: boolean,
): Promise<void> {
  const args = [
    'apply-config',
    '--mode',
    'auto',
    '--file',
    generatedFiles(cluster).path(configFile(node)),
  ]
  await waitFor(
    `${node.name} to take its config`,
    async () => {
      try {
        await (insecurely
          ? talosctl.askInsecurely(node.address, args, 60_000)
          : talosctl.ask([node.address], args, { direct: true, timeoutMs: 60_000 }))
      } catch (error) {
        const reason = talosReason(error)
        if (error instanceof CommandFailed && /InvalidArgument/.test(error.stderr))
          throw new Hopeless(reason)
        // It took the config of a run that was killed before it saw the answer.
        if (insecurely && /certificate required/.test(reason)) return
        throw new Error(reason)
      }
    },
    {
      log,
      withinMs: 180_000,
      code: 'CONFIG_REJECTED',
      hint: `correct the settings or patches, then run the same command again`,
    },
  )
}

async function waitUntilConfigured(
  { cluster, talosctl, log }: ApplyContext,
  node: Node,
): Promise<void> {
  await waitFor(
    `${node.name} to run with its config`,
    async () => {
      const state = await observeNode(node, talosctl, true)
      if (state.kind === 'configured') return
      if (state.kind === 'foreign')
        throw new Error(`its certificates are not those of cluster ${cluster.name} yet`)
      throw new Error(
        state.kind === 'maintenance' ? 'it still is in maintenance mode' : state.reason,
      )
    },
    {
      log,
      withinMs: 600_000,
      code: 'NODE_NOT_CONFIGURED',
      hint: `virsh console ${node.name} shows what it does`,
    },
  )
}

async function bootstrapEtcd({ talosctl, log }: ApplyContext, node: Node): Promise<void> {
  await waitFor(
    `${node.name} to bootstrap etcd`,
    async () => {
      try {
        await talosctl.ask([node.address], ['bootstrap'], { direct: true, timeoutMs: 30_000 })
      } catch (error) {
        const reason = talosReason(error)
        // A run before us did it.
        if (/AlreadyExists|data directory is not empty/.test(`${reason} ${String(error)}`)) return
        throw new Error(reason)
      }
    },
    {
      log,
      withinMs: 300_000,
      code: 'BOOTSTRAP_FAILED',
      hint: `talosctl service etcd -n ${node.address} shows why`,
    },
  )
}

async function writeKubeconfig({ cluster, talosctl, log }: ApplyContext): Promise<void> {
  const files = generatedFiles(cluster)
  const [node] = cluster.controlPlanes
  if (node === undefined) throw new Error('a cluster has a control plane')
  await files.remove(workFolder)
  await files.write(`${workFolder}/.keep`, '')
  try {
    await waitFor(
      `${node.name} to hand out a kubeconfig`,
      () =>
        talosctl
          .ask(
            [node.address],
            ['kubeconfig', files.path(workFolder, 'kubeconfig'), '--merge=false', '--force'],
            { direct: true },
          )
          .catch((error: unknown) => Promise.reject(new Error(talosReason(error)))),
      {
        log,
        withinMs: 300_000,
        code: 'KUBECONFIG_FAILED',
        hint: `talosctl kubeconfig -n ${node.address} shows why`,
      },
    )
    const text = await files.read(`${workFolder}/kubeconfig`)
    if (text === undefined) throw new Error('talosctl wrote no kubeconfig')
    await files.write('kubeconfig', text)
  } finally {
    await files.remove(workFolder)
  }
}

function nodeOf({ nodes, name }: Cluster, target: string): Node {
  const node = nodes.find((one) => one.name === target)
  if (node === undefined) throw new Error(`${target} is no machine of cluster ${name}`)
  return node
}
