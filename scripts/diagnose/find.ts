import type { Cluster } from '@talosmith/core'
import type { Diagnosis } from './diagnosis.ts'
import type { Seen } from './gather.ts'
import { judgeBoot } from './rules/boot.ts'
import { judgeCluster } from './rules/cluster.ts'
import { judgeHosts } from './rules/hosts.ts'
import { judgeMachine } from './rules/machines.ts'
import { judgeGateway, judgeNetwork } from './rules/network.ts'
import { judgeTalos } from './rules/talos.ts'
import { isReady, viewsOf, type View } from './view.ts'

/** What was found, and what is not as it should be without a known cause. */
export interface Findings {
  /** The cause furthest upstream first: mending it may well mend the rest. */
  readonly diagnoses: readonly Diagnosis[]
  /** Each a sentence. */
  readonly unmet: readonly string[]
}

/**
 * Works out the causes. Rules go from the host to the machine, its boot, its network, its Talos; the first
 * that finds something in a machine ends the search there, since the rest follows from it.
 */
export function findCauses(cluster: Cluster, seen: Seen): Findings {
  const views = viewsOf(cluster, seen)
  const stages: readonly ((view: View) => Diagnosis | undefined)[] = [
    (view) => judgeMachine(cluster, view),
    (view) => judgeBoot(cluster, view),
    (view) => judgeNetwork(cluster, view),
    (view) => judgeTalos(cluster, view),
  ]
  const found = new Map<string, Diagnosis>()
  const ofMachines = stages.flatMap((judge) =>
    views.flatMap((view) => {
      if (found.has(view.node.name)) return []
      const diagnosis = judge(view)
      if (diagnosis !== undefined) found.set(view.node.name, diagnosis)
      return diagnosis ?? []
    }),
  )
  // A machine's own config is a difference, and no reason for anything else.
  const isReason = ({ code }: Diagnosis): boolean => code !== 'OLD_CONFIG'
  return {
    diagnoses: [
      ...judgeHosts(cluster, seen),
      ...judgeGateway(cluster, seen),
      ...ofMachines.filter(isReason),
      ...judgeCluster(cluster, seen, views),
      ...ofMachines.filter((diagnosis) => !isReason(diagnosis)),
    ],
    unmet: [
      ...views.filter(({ node }) => !found.has(node.name)).flatMap(unmetOf),
      ...notSeen(seen),
    ],
  }
}

/** Whoever did not answer may hide anything. */
function notSeen({ evidence, findings, api, hosts }: Seen): string[] {
  const kubernetes = api.ok ? api.value.nodes : api
  return [
    ...evidence.flatMap((answer, index) =>
      answer.ok || hosts[index]?.ok === false
        ? []
        : [`the host did not say how its machines are: ${answer.reason}`],
    ),
    ...(findings.ok ? [] : [`Talos was not asked to the end: ${findings.reason}`]),
    ...(kubernetes.ok ? [] : [`Kubernetes does not list its nodes: ${kubernetes.reason}`]),
  ]
}

/** What a machine lacks of being well, in its own words. */
function unmetOf(view: View): string[] {
  const { node, probe, talos, kubernetes } = view
  if (probe?.kind === 'silent') return [`${node.name}: ${probe.reason}`]
  if (talos === undefined)
    return probe?.kind === 'ours' ? [`${node.name} says nothing more than who it is`] : []
  if (talos.status === undefined) return [`${node.name} does not say how it is: ${talos.silence}`]
  const { stage, status } = talos.status
  const unmet = (status.unmetConditions ?? []).map(({ name, reason }) => `${name}: ${reason}`)
  const ready = kubernetes?.status?.conditions?.find(({ type }) => type === 'Ready')
  return [
    ...(isReady(view) ? [] : [`${node.name} is ${[stage, ...unmet].join('; ')}`]),
    ...(ready === undefined || ready.status === 'True'
      ? []
      : [`${node.name} is not Ready in Kubernetes: ${ready.message ?? 'it does not say why'}`]),
  ]
}
