import type { NodePlan, TalosEvidence } from '@talosmith/bootstrap'
import type { KubernetesNode } from '@talosmith/clients/kubernetes'
import type { ProbeResult } from '@talosmith/clients/talos'
import type { Cluster, Node } from '@talosmith/core'
import {
  domainOf,
  hostOf,
  type MachineEvidence,
  type ObservedDomain,
  type ObservedHost,
} from '@talosmith/vm'
import type { Seen } from './gather.ts'

/** One machine from all sides: its domain, its guest, its Talos, its Kubernetes node. */
export interface View {
  readonly node: Node
  /** Undefined: its host could not be looked at. */
  readonly host: ObservedHost | undefined
  readonly domain: ObservedDomain | undefined
  readonly evidence: MachineEvidence | undefined
  readonly probe: ProbeResult | undefined
  /** It was silent, and came up while it was looked at. */
  readonly isJustUp: boolean
  readonly talos: TalosEvidence | undefined
  readonly plan: NodePlan | undefined
  /** Undefined: Kubernetes could not be asked, or has no such node. */
  readonly kubernetes: KubernetesNode | undefined
}

/** Puts together what was seen of each machine, control planes first. */
export function viewsOf(cluster: Cluster, seen: Seen): View[] {
  const hosts = seen.hosts.flatMap((answer) => (answer.ok ? [answer.value] : []))
  return cluster.nodes.map((node) => {
    const host = hostOf(cluster, node, hosts)
    const found = host && domainOf(node, host)
    const looked = host && seen.evidence[host.index]
    const plan = seen.plans.ok ? seen.plans.value.plans.get(node.name) : undefined
    const nodes = seen.api.ok && seen.api.value.nodes.ok ? seen.api.value.nodes.value : []
    return {
      node,
      host,
      domain: found?.owner === cluster.name ? found : undefined,
      evidence: looked?.ok === true ? looked.value.machines.get(node.name) : undefined,
      probe: seen.findings.ok ? seen.findings.value.probes.get(node.name) : undefined,
      isJustUp: seen.justUp.has(node.name),
      talos: seen.findings.ok ? seen.findings.value.machines.get(node.name) : undefined,
      plan: plan?.ok === true ? plan.value : undefined,
      kubernetes: nodes.find(({ metadata }) => metadata.name === node.name),
    }
  })
}

/** Whether Talos says that the machine has booted and that all is well on it. */
export function isReady({ talos }: Pick<View, 'talos'>): boolean {
  return talos?.status?.stage === 'running' && talos.status.status.ready
}

/** libvirt stops a machine for a moment by itself in the course of these. */
const inPassing =
  /^(?:migrating|post-copy|saving|dumping|creating snapshot|starting up|shutting down)$/

/** libvirt's word for a state that lasts; undefined: not known, or over in a moment. */
export function stateOf({
  evidence,
  domain,
}: Pick<View, 'evidence' | 'domain'>): string | undefined {
  if (evidence === undefined || evidence.state === 'unknown') return domain?.live.state
  const { state, stateReason } = evidence
  if (state === 'paused' && inPassing.test(stateReason)) return undefined
  return state === 'paused' && /^crashed/.test(stateReason) ? 'crashed' : state
}
