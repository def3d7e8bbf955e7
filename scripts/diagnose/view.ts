/** Everything that was observed of one machine. */
import type { NodePlan, TalosEvidence } from '@talosmith/bootstrap'
import { nodeOf, type NodeObject } from '@talosmith/clients/kubernetes'
import type { ProbeResult } from '@talosmith/clients/talos'
import type { Cluster, Node, Problem } from '@talosmith/core'
import {
  domainOf,
  hostOf,
  lostDiskProblem,
  withPlaces,
  type MachineEvidence,
  type ObservedDomain,
  type ObservedHost,
} from '@talosmith/vm'
import type { Observations } from './gather.ts'

/** One machine: its domain, its guest, its Talos, its Kubernetes node. */
export interface View {
  readonly node: Node
  /** Undefined: its host could not be observed. */
  readonly host: ObservedHost | undefined
  readonly domain: ObservedDomain | undefined
  /** DISK_LOST or POOL_EMPTY, if the machine's disk is lost. */
  readonly diskLost: Problem | undefined
  readonly evidence: MachineEvidence | undefined
  readonly probe: ProbeResult | undefined
  /** It did not answer at first, and came up during the observation. */
  readonly isJustUp: boolean
  readonly talos: TalosEvidence | undefined
  readonly plan: NodePlan | undefined
  /** Undefined: Kubernetes did not answer, or has no such node. */
  readonly kubernetes: NodeObject | undefined
}

/** Combines what was observed of each machine, control planes first. */
export function viewsOf(cluster: Cluster, observed: Observations): View[] {
  const hosts = observed.hosts.flatMap((answer) => (answer.ok ? [answer.value] : []))
  return withPlaces(cluster, hosts).nodes.map((node) => {
    // Undefined as well for a machine that no host has while one could not be observed.
    const host = hostOf(cluster, node, hosts)
    const found = host && domainOf(node, host)
    const machines = host && observed.evidence[host.index]
    const plan = observed.plans.ok ? observed.plans.value.plans.get(node.name) : undefined
    const nodes =
      observed.api.ok && observed.api.value.nodes.ok ? observed.api.value.nodes.value : []
    return {
      node,
      host,
      domain: found?.owner === cluster.name ? found : undefined,
      diskLost: lostDiskProblem(cluster, hosts, node.name),
      evidence: machines?.ok === true ? machines.value.machines.get(node.name) : undefined,
      probe: observed.findings.ok ? observed.findings.value.probes.get(node.name) : undefined,
      isJustUp: observed.justUp.has(node.name),
      talos: observed.findings.ok ? observed.findings.value.machines.get(node.name) : undefined,
      plan: plan?.ok === true ? plan.value : undefined,
      kubernetes: nodeOf(node, nodes),
    }
  })
}

/** Whether Talos reports that the machine has booted and is ready. */
export function isReady({ talos }: Pick<View, 'talos'>): boolean {
  return talos?.status?.stage === 'running' && talos.status.status.ready
}

/** Reasons for which libvirt itself pauses a machine for a moment. */
const temporaryPause =
  /^(?:migrating|post-copy|saving|dumping|creating snapshot|starting up|shutting down)$/

/** The state that libvirt reports; undefined: not known, or a pause that ends by itself. */
export function stateOf({
  evidence,
  domain,
}: Pick<View, 'evidence' | 'domain'>): string | undefined {
  if (evidence === undefined || evidence.state === 'unknown') return domain?.live.state
  const { state, stateReason } = evidence
  if (state === 'paused' && temporaryPause.test(stateReason)) return undefined
  return state === 'paused' && /^crashed/.test(stateReason) ? 'crashed' : state
}
