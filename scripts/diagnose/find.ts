import { judgeHealth, type Snapshot } from '@talosmith/bootstrap'
import type { Cluster } from '@talosmith/core'
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
  const snapshot = snapshotOf(cluster, seen)
  if (snapshot === undefined) return []
  // Machine by machine: otherwise only the first that lacks something would be named.
  const unmet = cluster.nodes
    .filter(({ name }) => !explained.has(name))
    .flatMap((node) =>
      judgeHealth({ ...cluster, nodes: [node] }, snapshot).flatMap(({ fact, fault }) => {
        if (fault === undefined) return []
        const [subject = ''] = /^[^ :,]+/.exec(fault) ?? []
        const named = cluster.nodes.find(
          ({ name, address }) => name === subject || address === subject,
        )
        if (named === undefined) return `${fact}: ${fault}`
        if (explained.has(named.name)) return []
        return named.name === subject ? fault : `${named.name}: ${fault}`
      }),
    )
  return [...new Set(unmet)]
}

/** What health judges by, made of what a diagnosis has seen; undefined: it has seen too little. */
function snapshotOf({ nodes }: Cluster, { findings, api }: Seen): Snapshot | undefined {
  if (!findings.ok || !api.ok) return undefined
  const { probes, machines, etcd } = findings.value
  const said = nodes.flatMap(({ name, address }) => {
    const talos = machines.get(name)
    return talos === undefined ? [] : [{ ...talos, address }]
  })
  const silence = said.find(({ status }) => status === undefined)?.silence
  return {
    ...api.value,
    probes,
    versions: new Map(
      said.flatMap(({ address, version }) => (version ? [[address, version]] : [])),
    ),
    machines: {
      byAddress: new Map(
        said.flatMap(({ address, status }) => (status ? [[address, status]] : [])),
      ),
      silence: silence ?? 'nobody could ask it',
    },
    withoutChannel: new Set(),
    leftBehind: [],
    etcd:
      etcd.members.length === 0
        ? { ok: false, reason: [...etcd.silence.values()][0] ?? 'it does not name its members' }
        : {
            ok: true,
            value: {
              members: etcd.members,
              status: etcd.status.map(({ id, ...rest }) => ({ ...rest, member: id })),
            },
          },
  }
}
