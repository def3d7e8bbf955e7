/** Plans the changes that turn machines into a cluster. Pure. */
import semver from 'semver'
import { minorOf, Problem, type Change, type Cluster, type Node } from '@talosmith/core'
import type { AccessProblem } from '../secrets/access.ts'
import { isArchived } from '../generated/replaced-files.ts'
import { planConfigUpdate, type HeldVersion } from '../config/config-update.ts'
import type { ObservedGeneratedFiles } from './generated-files.ts'
import type { ObservedNode, Preview } from './observe.ts'

/** A change of bootstrap:configure or bootstrap:start. */
export interface BootstrapChange extends Change {
  readonly kind:
    | 'create-secrets'
    | 'write-configs'
    | 'write-talosconfig'
    | 'apply-config'
    | 'update-config'
    | 'bootstrap-etcd'
    | 'write-kubeconfig'
}

/** Plans the generated files: secrets, configs, talosconfig. */
export function planGeneratedFiles(
  cluster: Cluster,
  {
    secrets,
    stale,
    talosconfig,
  }: Pick<ObservedGeneratedFiles, 'secrets' | 'stale' | 'talosconfig'>,
): BootstrapChange[] {
  const changes: BootstrapChange[] = []
  if (secrets === undefined)
    changes.push({
      kind: 'create-secrets',
      target: 'secrets',
      summary: `Create the secrets of cluster ${cluster.name}`,
      risk: 'none',
    })
  if (stale.length > 0)
    changes.push({
      kind: 'write-configs',
      target: 'configs',
      summary: `Write the machine config of ${listed(stale)}`,
      risk: 'none',
    })
  if (talosconfig !== undefined) changes.push(planTalosconfig(talosconfig))
  return changes
}

/** Plans a new talosconfig, because of a problem with the current one. */
export function planTalosconfig(problem: AccessProblem): BootstrapChange {
  return {
    kind: 'write-talosconfig',
    target: 'talosconfig',
    summary: `Write the talosconfig${keeping(problem)}`,
    from: problem,
    to: 'valid for a year',
    risk: 'none',
  }
}

/** Throws NODE_FOREIGN, with the names of all machines that belong to another cluster. */
export function refuseForeign(nodes: readonly ObservedNode[], hasSecrets: boolean): void {
  const foreign = nodes.filter(({ state }) => state.kind === 'foreign')
  if (foreign.length === 0) return
  const names = foreign.map(({ node }) => `${node.name} (${node.address})`)
  throw new Problem(
    'NODE_FOREIGN',
    `${listed(names)} ${foreign.length === 1 ? 'is' : 'are'} configured with the secrets of another cluster`,
    {
      because: hasSecrets
        ? 'the certificate of the Talos API there is not signed by the CA in secrets.yaml'
        : 'there are no secrets in generated/, but the Talos API there asks for a certificate',
      now: 'nothing was changed',
      hint: hasSecrets
        ? 'either another machine has this address, or secrets.yaml was generated again: restore the original'
        : 'restore the secrets.yaml that the cluster was created with',
    },
  )
}

/** The plan for one machine. */
export interface NodePlan {
  readonly change: BootstrapChange | undefined
  /** The config to send. */
  readonly text: string | undefined
  readonly held: readonly HeldVersion[]
}

/**
 * Plans a machine's first config, or an update where it differs. A running machine keeps its versions; one
 * of another Talos minor keeps its whole config, because it may not know the new form.
 */
export function planNode(
  { settings }: Pick<Cluster, 'settings'>,
  { node, state }: ObservedNode,
  desired: string | undefined,
): NodePlan {
  if (state.kind !== 'running')
    return { change: firstConfigChange(node, state), text: desired, held: [] }
  const { TALOS_VERSION: talos } = settings
  const held =
    state.talosVersion === talos
      ? []
      : [{ what: 'Talos', running: state.talosVersion, desired: talos }]
  const isOfAnotherMinor =
    semver.valid(state.talosVersion) !== null && minorOf(state.talosVersion) !== minorOf(talos)
  if (desired === undefined || isOfAnotherMinor) return { change: undefined, text: undefined, held }
  const update = planConfigUpdate(desired, state.config)
  const what = [...held, ...update.held]
  if (update.text === undefined) return { change: undefined, text: undefined, held: what }
  return { change: updateChange(node), text: update.text, held: what }
}

/** The plan after a dry run on the machine. Throws CONFIG_REJECTED. */
export function planPreviewed(plan: NodePlan, node: Node, preview: Preview): NodePlan {
  if (plan.change === undefined) return plan
  if (preview.kind === 'rejected')
    throw new Problem('CONFIG_REJECTED', `${node.name} rejects its new machine config`, {
      because: preview.reason,
      now: 'no machine was changed',
      hint: 'correct the settings or patches, then run the same command again',
    })
  if (preview.kind === 'nothing') return { ...plan, change: undefined, text: undefined }
  return { ...plan, change: updateChange(node, preview.kind === 'reboot') }
}

/** The change that applies a machine's first config. */
export function firstConfigChange({ name }: Node, state: ObservedNode['state']): BootstrapChange {
  return {
    kind: 'apply-config',
    target: name,
    summary: `Apply the machine config of ${name}`,
    ...(state.kind === 'silent' ? { from: `not known: ${state.reason}`, to: 'configured' } : {}),
    risk: 'none',
  }
}

function updateChange({ name }: Node, reboots = false): BootstrapChange {
  return {
    kind: 'update-config',
    target: name,
    summary: `Change the machine config of ${name}${reboots ? ' and reboot it' : ', without a reboot'}`,
    risk: reboots ? 'restart' : 'none',
  }
}

/** The observed state of a configured cluster. */
export interface ObservedStart {
  /** 'stopped': etcd does not run, but has data; 'none': it never ran. */
  readonly etcd: 'running' | 'stopped' | 'none'
  readonly kubeconfig: AccessProblem | undefined
  /** The cluster has run before, and begins again without its data. */
  readonly isLoss?: boolean
}

/** Plans the start of a configured cluster: etcd, bootstrapped once, and a kubeconfig. */
export function planStart(
  { controlPlanes }: Pick<Cluster, 'controlPlanes'>,
  { etcd, kubeconfig, isLoss = false }: ObservedStart,
): BootstrapChange[] {
  const changes: BootstrapChange[] = []
  const [first] = controlPlanes
  if (etcd === 'none' && first !== undefined)
    changes.push({
      kind: 'bootstrap-etcd',
      target: first.name,
      summary: `Bootstrap ${isLoss ? 'an empty etcd' : 'etcd'} on ${first.name}`,
      risk: isLoss ? 'data-loss' : 'none',
    })
  if (kubeconfig !== undefined)
    changes.push({
      kind: 'write-kubeconfig',
      target: 'kubeconfig',
      summary: `Fetch the kubeconfig${keeping(kubeconfig)}`,
      from: kubeconfig,
      to: 'valid for a year',
      risk: 'none',
    })
  return changes
}

function keeping(problem: AccessProblem): string {
  return isArchived(problem) ? ', and keep the old one in archive/' : ''
}

function listed(names: readonly string[]): string {
  return names.length <= 6 ? names.join(', ') : `${names.length} machines`
}
