import { judgeHealth, type HealthFacts, type TalosEvidence } from '@talosmith/bootstrap'
import { unreachableBecause, type MachineStatus, type ProbeResult } from '@talosmith/clients/talos'
import type { Answer, Cluster } from '@talosmith/core'
import type { Diagnosis } from './diagnosis.ts'
import type { Seen } from './gather.ts'
import { judgeBoot } from './rules/boot.ts'
import { judgeCluster } from './rules/cluster.ts'
import { judgeHosts } from './rules/hosts.ts'
import { judgeMachine } from './rules/machines.ts'
import { judgeGateway, judgeNetwork } from './rules/network.ts'
import { judgeTalos } from './rules/talos.ts'
import { viewsOf, type View } from './view.ts'

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
  // What only differs from the settings is no reason for anything else.
  const isReason = ({ code }: Diagnosis): boolean =>
    code !== 'OLD_CONFIG' && code !== 'INSTALL_DISK_WRONG'
  const explained = new Set([...found].flatMap(([name, one]) => (isReason(one) ? name : [])))
  return {
    diagnoses: [
      ...judgeHosts(cluster, seen),
      ...judgeGateway(cluster, seen),
      ...ofMachines.filter(isReason),
      ...judgeCluster(cluster, seen, views),
      ...ofMachines.filter((diagnosis) => !isReason(diagnosis)),
    ],
    unmet: [...unmetBeside(explained, cluster, seen), ...notSeen(seen)],
  }
}

/** Whoever did not answer may hide anything. */
function notSeen({ evidence, findings, api, hosts }: Seen): string[] {
  return [
    ...evidence.flatMap((answer, index) =>
      answer.ok || hosts[index]?.ok === false
        ? []
        : [`the host did not say how its machines are: ${answer.reason}`],
    ),
    ...(findings.ok ? [] : [`Talos was not asked to the end: ${findings.reason}`]),
    ...(api.ok ? [] : [`Kubernetes was not asked to the end: ${api.reason}`]),
  ]
}

/** What health would wait for, by its own rules, on the machines with which nothing else is wrong. */
function unmetBeside(explained: ReadonlySet<string>, cluster: Cluster, seen: Seen): string[] {
  const facts = healthFactsOf(cluster, seen)
  if (facts === undefined) return []
  // Machine by machine: otherwise only the first that lacks something would be named.
  const unmet = cluster.nodes
    .filter(({ name }) => !explained.has(name))
    .flatMap((node) =>
      judgeHealth({ ...cluster, nodes: [node] }, facts).flatMap(({ fact, reason }) => {
        if (reason === undefined) return []
        const [subject = ''] = /^[^ :,]+/.exec(reason) ?? []
        const named = cluster.nodes.find(
          ({ name, address }) => name === subject || address === subject,
        )
        if (named === undefined) return `${fact}: ${reason}`
        if (explained.has(named.name)) return []
        return named.name === subject ? reason : `${named.name}: ${reason}`
      }),
    )
  return [...new Set(unmet)]
}

/** What health judges by, made of what a diagnosis has seen; undefined: it has seen too little. */
function healthFactsOf({ nodes }: Cluster, { findings, api }: Seen): HealthFacts | undefined {
  if (!findings.ok || !api.ok) return undefined
  const { probes, machines, etcd } = findings.value
  const versions = [...machines].flatMap(([name, { version }]) =>
    version === undefined ? [] : [[name, version] as const],
  )
  return {
    ...api.value,
    probes,
    etcd,
    versions: new Map(versions),
    machines: new Map(
      nodes.map(({ name }) => [name, statusOf(machines.get(name), probes.get(name))]),
    ),
    withoutChannel: new Set(),
    leftBehind: [],
  }
}

function statusOf(
  evidence: TalosEvidence | undefined,
  result: ProbeResult | undefined,
): Answer<MachineStatus> {
  if (evidence === undefined)
    return { ok: false, reason: (result && unreachableBecause(result)) ?? 'it was not asked' }
  const { status, silence } = evidence
  return status === undefined ? { ok: false, reason: silence } : { ok: true, value: status }
}
