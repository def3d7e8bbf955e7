/** Carries out one change of bootstrap:configure or bootstrap:start. */
import { nodeNamed } from '@talosmith/core'
import { configureNode, updateNode } from './apply-config.ts'
import type { ApplyContext } from './apply-context.ts'
import { bootstrapEtcd, writeKubeconfig } from './apply-start.ts'
import { writeConfigs, writeTalosconfig } from './generated-files.ts'
import type { BootstrapChange } from './plan.ts'
import { createSecrets } from '../generated/create-secrets.ts'

const actions: Record<
  BootstrapChange['kind'],
  (context: ApplyContext, target: string, change: BootstrapChange) => Promise<void>
> = {
  'create-secrets': ({ cluster, talosctl }) => createSecrets(cluster, talosctl),
  async 'write-configs'({ cluster, generated, log }) {
    if (generated?.desired === undefined) throw new Error('no machine configs were generated')
    await writeConfigs(cluster, generated.desired, generated.digest, log)
  },
  'write-talosconfig': ({ cluster, talosctl, log }) => writeTalosconfig(cluster, talosctl, log),
  'apply-config': (context, target) => configureNode(context, nodeNamed(context.cluster, target)),
  'update-config': (context, target, { risk }) =>
    updateNode(context, nodeNamed(context.cluster, target), { reboots: risk === 'restart' }),
  'bootstrap-etcd': (context, target) => bootstrapEtcd(context, nodeNamed(context.cluster, target)),
  'write-kubeconfig': (context) => writeKubeconfig(context),
}

/** Carries out one change and waits for its effect; may be repeated. */
export async function applyBootstrapChange(
  change: BootstrapChange,
  context: ApplyContext,
): Promise<void> {
  await actions[change.kind](context, change.target, change)
}
