/** Observes everything that the safety gate checks. */
import { observeEtcdFacts } from '@talosmith/clients/etcd'
import { type Kubernetes, type NodeObject } from '@talosmith/clients/kubernetes'
import {
  answersOf,
  machineStatusQuestion,
  observeTalos,
  probeMachines,
  type Talosctl,
} from '@talosmith/clients/talos'
import { reasonOf, type Cluster } from '@talosmith/core'
import type { PublicSecrets } from '../secrets/secrets.ts'
import type { GateFacts } from './gate.ts'

/** The clients that the gate uses. */
export interface GateTools {
  readonly cluster: Cluster
  readonly talosctl: Talosctl
  readonly kubernetes: Kubernetes
  readonly secrets: Pick<PublicSecrets, 'talosCa'>
}

/** Observes etcd, Kubernetes and the machines concurrently. */
export async function observeGate({
  cluster,
  talosctl,
  kubernetes,
  secrets: { talosCa },
}: GateTools): Promise<GateFacts> {
  const nodes = kubernetes.list<NodeObject>('/api/v1/nodes').catch((error: unknown) => ({
    reason: reasonOf(error) ?? 'no reason given',
  }))
  const probes = await probeMachines(cluster.nodes, talosCa)
  const questions = { machine: machineStatusQuestion }
  const [etcd, talos] = await Promise.all([
    observeEtcdFacts(cluster, talosctl, { talosCa, probes }),
    observeTalos(cluster, { talosctl, talosCa, probes, questions, asksWorkersAlone: false }),
  ])
  return { etcd, machines: answersOf(cluster.nodes, talos, 'machine'), nodes: await nodes }
}
