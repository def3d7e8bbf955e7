/** The context of an upgrade and of a restore: clients for Talos and Kubernetes, secrets, generated files. */
import { notStarted, type Cluster, type Host, type Log, type ScriptContext } from '@talosmith/core'
import { observeGeneratedFiles, type ObservedGeneratedFiles } from '../configure/generated-files.ts'
import { openKubernetes, type Kubernetes, throughNodes } from '@talosmith/clients/kubernetes'
import { refuseLostSecrets } from '../generated/lost-secrets.ts'
import type { PublicSecrets } from '../secrets/secrets.ts'
import { openTalosctl, type Talosctl } from '@talosmith/clients/talos'

/** The part of a script context that the upgrade flows use. */
export type UpgradeScript = Pick<
  ScriptContext<Record<never, never>>,
  'cluster' | 'log' | 'dryRun' | 'showPlan' | 'hosts'
>

/** The clients and generated files that an upgrade uses. */
export interface UpgradeContext {
  readonly cluster: Cluster
  readonly log: Log
  readonly talosctl: Talosctl
  readonly kubernetes: Kubernetes
  readonly secrets: PublicSecrets
  readonly generated: ObservedGeneratedFiles
  /** The KVM hosts, to read a machine's console log. */
  readonly hosts: () => Promise<readonly Host[]>
}

/** Opens the clients of a bootstrapped cluster. Throws SECRETS_LOST, and NOT_STARTED for any other. */
export async function openUpgrade(
  { cluster, log, hosts }: Pick<UpgradeScript, 'cluster' | 'log' | 'hosts'>,
  tool?: Talosctl,
): Promise<UpgradeContext> {
  const talosctl = tool ?? (await openTalosctl(cluster))
  const generated = await observeGeneratedFiles(cluster, talosctl, log)
  const { secrets } = generated
  if (secrets === undefined) await refuseLostSecrets(cluster)
  if (secrets === undefined) throw notStarted(cluster, 'there are no machine secrets in generated/')
  if (generated.talosconfig !== undefined && generated.talosconfig !== 'expiring')
    throw notStarted(cluster, `the talosconfig is ${generated.talosconfig}`)
  const kubernetes = await openKubernetes(cluster).catch(() => {
    throw notStarted(cluster, 'there is no kubeconfig in generated/')
  })
  return {
    cluster,
    log,
    talosctl,
    kubernetes: throughNodes(cluster, kubernetes),
    secrets,
    generated,
    hosts,
  }
}

/** How long a machine may take to reboot. */
export function rebootTimeoutMs({ settings }: Cluster): number {
  return settings.HEALTH_TIMEOUT * 1000
}
