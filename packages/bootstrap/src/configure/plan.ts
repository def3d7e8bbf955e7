/** What has to happen until machines are a cluster. Pure. */
import semver from 'semver'
import { minorOf, Problem, type Change, type Cluster, type Node } from '@talosmith/core'
import type { AccessProblem } from '../generated/access.ts'
import { planConfigUpdate, type HeldVersion } from '../config/config-update.ts'
import type { ObservedGeneratedFiles } from './generated-files.ts'
import type { ObservedNode, Preview } from './observe.ts'

/** What has to happen to bring machines to a running cluster. */
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

/** What the operator's machine lacks: secrets, configs, a talosconfig. */
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

/** The talosconfig, made anew because of what is wrong with the one there is. */
export function planTalosconfig(fault: AccessProblem): BootstrapChange {
  return {
    kind: 'write-talosconfig',
    target: 'talosconfig',
    summary: 'Write the talosconfig',
    from: fault,
    to: 'valid for a year',
    risk: 'none',
  }
}

/** Stops for machines that belong to another cluster (NODE_FOREIGN), all of them named. */
export function refuseForeign(nodes: readonly ObservedNode[], hasSecrets: boolean): void {
  const foreign = nodes.filter(({ state }) => state.kind === 'foreign')
  if (foreign.length === 0) return
  const names = foreign.map(({ node }) => `${node.name} (${node.address})`)
  throw new Problem('NODE_FOREIGN', `${listed(names)} got a config with other secrets than ours`, {
    because: hasSecrets
      ? 'the certificate of the Talos API there is not signed by the CA in secrets.yaml'
      : 'there are no secrets in generated/, but the Talos API there asks for a certificate',
    now: 'nothing was changed',
    hint: hasSecrets
      ? 'either another machine has this address, or secrets.yaml was made anew: put the first one back'
      : 'put back the secrets.yaml that the cluster was made with',
  })
}

/** What to do with one machine. */
export interface NodePlan {
  readonly change: BootstrapChange | undefined
  /** The config to send. */
  readonly text: string | undefined
  readonly held: readonly HeldVersion[]
}

/**
 * What a machine lacks: its config, or the parts of it that differ. A running machine keeps its
 * versions, and one of another Talos minor its whole config: the new form may be one it does not know.
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

/** The plan once the machine has said what its new config would do to it. Throws CONFIG_REJECTED. */
export function planPreviewed(plan: NodePlan, node: Node, preview: Preview): NodePlan {
  if (plan.change === undefined) return plan
  if (preview.kind === 'rejected')
    throw new Problem('CONFIG_REJECTED', `${node.name} would not take its new machine config`, {
      because: preview.reason,
      now: 'no machine was changed',
      hint: 'correct the settings or patches, then run the same command again',
    })
  if (preview.kind === 'nothing') return { ...plan, change: undefined, text: undefined }
  return { ...plan, change: updateChange(node, preview.kind === 'reboot') }
}

/** The change that gives a machine its first config. */
export function firstConfigChange({ name }: Node, state: ObservedNode['state']): BootstrapChange {
  return {
    kind: 'apply-config',
    target: name,
    summary: `Give ${name} its machine config`,
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

/** What a configured cluster was found to have. */
export interface ObservedStart {
  /** Whether etcd runs; 'stopped': it does not, but its data is there; 'none': it never ran. */
  readonly etcd: 'running' | 'stopped' | 'none'
  readonly kubeconfig: AccessProblem | undefined
}

/** What a configured cluster lacks: etcd, once in its life, and a kubeconfig. */
export function planStart(
  { controlPlanes }: Pick<Cluster, 'controlPlanes'>,
  { etcd, kubeconfig }: ObservedStart,
): BootstrapChange[] {
  const changes: BootstrapChange[] = []
  const [first] = controlPlanes
  if (etcd === 'none' && first !== undefined)
    changes.push({
      kind: 'bootstrap-etcd',
      target: first.name,
      summary: `Bootstrap etcd on ${first.name}`,
      risk: 'none',
    })
  if (kubeconfig !== undefined)
    changes.push({
      kind: 'write-kubeconfig',
      target: 'kubeconfig',
      summary: 'Fetch the kubeconfig',
      from: kubeconfig,
      to: 'valid for a year',
      risk: 'none',
    })
  return changes
}

function listed(names: readonly string[]): string {
  return names.length <= 6 ? names.join(', ') : `${names.length} machines`
}
