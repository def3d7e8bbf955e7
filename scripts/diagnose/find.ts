/** Finds the causes of problems in what was observed of a cluster. */
import { judgeHealth, type HealthFacts, type TalosEvidence } from '@talosmith/bootstrap'
import { unreachableBecause, type MachineStatus, type ProbeResult } from '@talosmith/clients/talos'
import type { Answer, Cluster } from '@talosmith/core'
import type { Diagnosis } from './diagnosis.ts'
import type { Observations } from './gather.ts'
import { judgeBoot } from './rules/boot.ts'
import { judgeCluster } from './rules/cluster.ts'
import { judgeHosts } from './rules/hosts.ts'
import { judgeMachine } from './rules/machines.ts'
import { judgeGateway, judgeMachineNetwork } from './rules/network.ts'
import { judgeTalos } from './rules/talos.ts'
import { isReady, viewsOf, type View } from './view.ts'

/** The diagnoses, and the unmet conditions that none of them explains. */
export interface Findings {
  /** The root cause first: fixing it may fix the rest. */
  readonly diagnoses: readonly Diagnosis[]
  /** Each a sentence. */
  readonly unmet: readonly string[]
}

/** Whether conditions are unmet and nothing explains them: they may have been met a moment later. */
export function isUncertain({ diagnoses, unmet }: Findings): boolean {
  return diagnoses.length === 0 && unmet.length > 0
}

/**
 * Finds the causes. Rules go from the host to the machine, its boot, its network and its Talos; the first diagnosis
 * of a machine ends the search on it, since the rest usually follows from it.
 */
export function findCauses(cluster: Cluster, observed: Observations): Findings {
  const views = viewsOf(cluster, observed)
  const stages: readonly ((view: View) => Diagnosis | undefined)[] = [
    (view) => judgeMachine(cluster, view),
    (view) => judgeBoot(cluster, view),
    (view) => judgeMachineNetwork(cluster, view),
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
  // A mere difference from the settings does not explain any other problem.
  const isCause = ({ code }: Diagnosis): boolean =>
    code !== 'OLD_CONFIG' && code !== 'INSTALL_DISK_WRONG'
  const explained = new Set([...found].flatMap(([name, one]) => (isCause(one) ? name : [])))
  return {
    diagnoses: [
      ...judgeHosts(cluster, observed),
      ...judgeGateway(cluster, observed),
      ...ofMachines.filter(isCause),
      ...judgeCluster(cluster, observed, views),
      ...ofMachines.filter((diagnosis) => !isCause(diagnosis)),
    ],
    unmet: [
      ...unmetBeside(explained, cluster, observed),
      ...unobserved(observed),
      ...unreadConsoles(views.filter(({ node }) => !explained.has(node.name))),
    ],
  }
}

/** Consoles that could show why their machines are not ready, and that this user may not read. */
function unreadConsoles(views: readonly View[]): string[] {
  return views.flatMap((view) => {
    const { node, evidence } = view
    const reason = evidence?.consoleProblem
    if (reason === undefined || evidence?.state !== 'running' || isReady(view)) return []
    return `the console of ${node.name} could not be read: ${reason}`
  })
}

/** Sources that did not answer: they may hide problems. */
function unobserved({ evidence, findings, api, hosts }: Observations): string[] {
  const unreadable = new Set(
    hosts.flatMap((answer) => (answer.ok ? (answer.value.identity.unreadable?.message ?? []) : [])),
  )
  return [
    ...Array.from(unreadable, (reason) => `the ID of the cluster is not known: ${reason}`),
    ...evidence.flatMap((answer, index) =>
      answer.ok || hosts[index]?.ok === false
        ? []
        : [`the machines on the host could not be inspected: ${answer.reason}`],
    ),
    ...(findings.ok ? [] : [`Talos could not be queried: ${findings.reason}`]),
    ...(api.ok ? [] : [`Kubernetes could not be queried: ${api.reason}`]),
  ]
}

/** What bootstrap:health would wait for on the machines without a diagnosis. */
function unmetBeside(
  explained: ReadonlySet<string>,
  cluster: Cluster,
  observed: Observations,
): string[] {
  const facts = healthFactsOf(cluster, observed)
  if (facts === undefined) return []
  // Machine by machine: health reports only the first machine that fails.
  const unmet = cluster.nodes
    .filter(({ name }) => !explained.has(name))
    .flatMap((node) =>
      judgeHealth({ ...cluster, nodes: [node] }, facts).flatMap(({ fact, reason, who }) => {
        if (reason === undefined) return []
        const named = cluster.nodes.find(({ name, address }) => name === who || address === who)
        if (named === undefined) return `${fact}: ${reason}`
        if (explained.has(named.name)) return []
        return named.name === who ? reason : `${named.name}: ${reason}`
      }),
    )
  return [...new Set(unmet)]
}

/** The facts that health judges, from what was observed; undefined: too little is known. */
function healthFactsOf(
  { nodes }: Cluster,
  { findings, api }: Observations,
): HealthFacts | undefined {
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
    return { ok: false, reason: (result && unreachableBecause(result)) ?? 'it was not queried' }
  const { status, silence } = evidence
  return status === undefined ? { ok: false, reason: silence } : { ok: true, value: status }
}
