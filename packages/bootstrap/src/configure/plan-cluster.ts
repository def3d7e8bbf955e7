/** What bootstrap:configure and bootstrap:start would do. Pure. */
import type { Change, Cluster, Node } from '@talosmith/core'
import { differingPaths } from '../config/config-update.ts'
import type { EtcdState } from '@talosmith/clients/etcd'
import type { ObservedAccess, ObservedCluster } from './observe-cluster.ts'
import { firstConfigChange, planGeneratedFiles, planStart, type NodePlan } from './plan.ts'

/** The changes, and what could not be determined. */
export interface ClusterPlan {
  readonly changes: readonly Change[]
  /** Machines run other versions than the settings name; only an upgrade changes them. */
  readonly needsUpgrade: boolean
  /** What is not known, and why. */
  readonly unknown: readonly string[]
}

/**
 * What bootstrap:configure and bootstrap:start would do. Machines in `fresh` do not exist
 * yet: they are planned from the settings, as is everything before there are secrets. Nothing is assumed about
 * a machine that exists and does not answer; without secrets, a control plane among them leaves everything open.
 */
export function planCluster(
  cluster: Cluster,
  observed: ObservedCluster & Pick<ObservedAccess, 'kubeconfig'>,
  fresh: ReadonlySet<string>,
): ClusterPlan {
  const unanswered = unansweredWithoutSecrets(observed, fresh)
  if (unanswered !== undefined)
    return { changes: [], needsUpgrade: false, unknown: [`the secrets: ${unanswered}`] }
  const unknown: string[] = []
  const isFresh = ({ name }: Node): boolean =>
    fresh.has(name) || observed.generated.secrets === undefined
  const ofMachines = observed.nodes.flatMap(({ node, state }): Change[] => {
    if (state.kind === 'running') {
      const plan = observed.plans.get(node.name)
      if (plan?.ok === false) unknown.push(`the machine config of ${node.name}: ${plan.reason}`)
      return plan?.ok === true ? planRunning(plan.value, state.config) : []
    }
    if (isFresh(node)) return [firstConfigChange(node, { kind: 'maintenance' })]
    if (state.kind === 'maintenance') return [firstConfigChange(node, state)]
    unknown.push(`the machine config of ${node.name}: ${state.reason}`)
    return []
  })
  const etcd = etcdOf(cluster, observed, isFresh)
  if (etcd === undefined && !observed.etcd.ok)
    unknown.push(`whether etcd was bootstrapped: ${observed.etcd.reason}`)
  if (etcd === 'stopped') unknown.push('etcd: it has data, but does not run')
  return {
    changes: [
      ...planGeneratedFiles(cluster, observed.generated),
      ...ofMachines,
      // If not known, etcd is assumed to run, so that it is not bootstrapped.
      ...planStart(cluster, { etcd: etcd ?? 'running', kubeconfig: observed.kubeconfig }),
    ],
    needsUpgrade: [...observed.plans.values()].some(
      (plan) => plan.ok && plan.value.held.length > 0,
    ),
    unknown,
  }
}

/** Why it is not known whether secrets are to be created: a control plane that exists may be configured already. */
function unansweredWithoutSecrets(
  { generated, nodes }: ObservedCluster,
  fresh: ReadonlySet<string>,
): string | undefined {
  if (generated.secrets !== undefined) return undefined
  for (const { node, state } of nodes)
    if (node.role === 'controlplane' && state.kind === 'silent' && !fresh.has(node.name))
      return `${state.reason}. They are created once every control plane is in maintenance mode; if ${node.name} is configured, put the secrets.yaml that it was configured with into generated/`
  return undefined
}

/** Whether etcd ever ran; it did not where no control plane has a config. Undefined: not known. */
function etcdOf(
  { controlPlanes }: Cluster,
  { nodes, etcd }: ObservedCluster,
  isFresh: (node: Node) => boolean,
): EtcdState | undefined {
  const isEmpty = (controlPlane: Node): boolean =>
    isFresh(controlPlane) ||
    nodes.some(({ node, state }) => node.name === controlPlane.name && state.kind === 'maintenance')
  if (controlPlanes.every(isEmpty)) return 'none'
  return etcd.ok ? etcd.value : undefined
}

const listedPaths = 3

function planRunning({ change, text }: NodePlan, config: string): Change[] {
  if (change === undefined || text === undefined) return []
  const paths = differingPaths(text, config)
  const more = paths.length > listedPaths ? ` and ${paths.length - listedPaths} more` : ''
  const where = paths.slice(0, listedPaths).join(', ') + more
  return [{ ...change, from: `other values of ${where}`, to: 'as configured' }]
}
