/** Observes a cluster before an upgrade. */
import { listVersions } from '@talosmith/clients/factory'
import {
  commandFor,
  minorOf,
  Problem,
  reasonOf,
  waitFor,
  type Cluster,
  type Node,
} from '@talosmith/core'
import { observeNodeStates, type ObservedNode } from '../configure/observe.ts'
import { refuseForeign } from '../configure/plan.ts'
import {
  nodeOf,
  type Kubernetes,
  type NodeObject,
  type PodObject,
} from '@talosmith/clients/kubernetes'
import { leaderOf, observeEtcdFacts } from '@talosmith/clients/etcd'
import { versionsOf, type KubernetesFacts } from './kubernetes-proof.ts'
import {
  readFailedVersion,
  readUpgradeAnnotation,
  type Begun,
  type FailedVersion,
} from '../restart/upgrade-annotation.ts'
import { installationOf, ownInstallerOf } from './installation.ts'
import { isRight, readNodes, type NodeFacts } from '@talosmith/clients/talos'
import { refuseUnhealthyEtcd } from '../restart/pass-gate.ts'
import { observeRemovedApis, type RemovedApi } from './removed-apis.ts'
import { rebootTimeoutMs, type UpgradeContext } from '../restart/context.ts'
import semver from 'semver'

/** A machine before an upgrade. */
export interface ObservedMachine {
  readonly node: Node
  readonly facts: NodeFacts
  /** The machine config in force. Holds secrets: never print it. */
  readonly config: string
  readonly kubelet: string
  /** The oldest Kubernetes component on it. */
  readonly kubernetes: string
  /** The installer image that a patch names for it. */
  readonly ownInstaller?: string | undefined
  /** The upgrade that an earlier run began and did not finish. */
  readonly begun: Begun | undefined
  /** A version that never booted on it, and the node that has the record. */
  readonly failed?: (FailedVersion & { readonly on: string }) | undefined
}

/** A cluster before an upgrade. */
export interface ObservedUpgrade {
  readonly machines: readonly ObservedMachine[]
  readonly leader: string | undefined
  /** Talos versions that the factory offers; undefined: no machine needs its installer. */
  readonly offered: readonly string[] | undefined
  /** APIs that are in use and that the desired Kubernetes version no longer serves. */
  readonly removedApis: readonly RemovedApi[]
}

/** Reads the objects that show which Kubernetes version runs. */
export async function observeKubernetes(kubernetes: Kubernetes): Promise<KubernetesFacts> {
  const [nodes, pods] = await Promise.all([
    kubernetes.list<NodeObject>('/api/v1/nodes'),
    kubernetes.list<PodObject>('/api/v1/namespaces/kube-system/pods'),
  ])
  return { nodes, pods }
}

/** Observes every machine; waits for one that a killed run restarted. */
export async function observeUpgrade(
  context: UpgradeContext,
  { waits = true } = {},
): Promise<ObservedUpgrade> {
  const { cluster, log } = context
  const machines = await waitFor(
    `every machine of ${cluster.name} to report what it runs`,
    () => observeMachines(context),
    {
      log,
      withinMs: waits ? rebootTimeoutMs(cluster) : 0,
      code: 'NODE_SILENT',
      hint: `check that it runs (${commandFor(cluster, 'vm:status')}) and check its console (virsh console <machine>); one that hangs after an upgrade: ${commandFor(cluster, 'vm:boot-previous')} --machine <machine>`,
    },
  ).catch(async (error: unknown) => {
    // Without etcd an API server cannot answer: then etcd is the problem, not the machine.
    if (error instanceof Problem && error.code === 'NODE_SILENT') await refuseUnhealthyEtcd(context)
    throw error
  })
  const { TALOS_VERSION: version } = cluster.settings
  const needsFactory = machines.some((machine) => {
    const target = installationOf(cluster, machine, version)
    const isFactory = machine.ownInstaller === undefined && target.image !== undefined
    return isFactory && !isRight(machine.facts, target)
  })
  const { KUBERNETES_VERSION: desired } = cluster.settings
  const keepsMinor = machines.every(({ kubernetes: runs }) => minorOf(runs) === minorOf(desired))
  const [etcd, offered, removedApis] = await Promise.all([
    observeEtcdFacts(cluster, context.talosctl, context.secrets),
    needsFactory ? listVersions(cluster, { log }) : undefined,
    keepsMinor
      ? []
      : // Only a preview: checked again right before the step that removes them.
        observeRemovedApis(cluster, context.kubernetes, desired).catch((error: unknown) => {
          log.warn(`could not find out which removed APIs are in use: ${reasonOf(error)}`)
          return []
        }),
  ])
  return { machines, leader: leaderOf(cluster.controlPlanes, etcd), offered, removedApis }
}

async function observeMachines({
  cluster,
  talosctl,
  kubernetes,
  secrets,
  generated,
}: UpgradeContext): Promise<ObservedMachine[]> {
  const states = await observeNodeStates(cluster, talosctl, secrets)
  refuseForeign(states, true)
  refuseUnconfigured(cluster, states)
  const silent = states.flatMap(({ state }) => (state.kind === 'silent' ? [state.reason] : []))
  if (silent.length > 0) throw new Error(silent.join('; '))
  const [facts, objects] = await Promise.all([
    readNodes(cluster.nodes, cluster.controlPlanes, talosctl),
    observeKubernetes(kubernetes),
  ])
  const versions = versionsOf(cluster, objects)
  return states.map(({ node, state }) => {
    const own = facts.get(node.name)
    if (own?.ok !== true || state.kind !== 'running')
      throw new Error(`${node.name}: ${own?.ok === false ? own.reason : 'it was not queried'}`)
    const object = nodeOf(node, objects.nodes)
    const parts = [...(versions.get(node.name) ?? [])]
    const [missing] = parts.filter(([, version]) => version === undefined)
    if (missing !== undefined)
      throw new Error(`${missing[0]} on ${node.name} does not report its version`)
    const [oldest = ''] = parts.map(([, version]) => version ?? '').sort(semver.compare)
    const failed = object && readFailedVersion(object)
    return {
      node,
      facts: own.value,
      config: state.config,
      kubelet: object?.status?.nodeInfo?.kubeletVersion ?? '',
      kubernetes: oldest,
      ownInstaller: ownInstallerOf(cluster, generated.desired?.get(node.name)),
      begun: object && readUpgradeAnnotation(object),
      failed: failed && { ...failed, on: object.metadata.name },
    }
  })
}

function refuseUnconfigured(cluster: Cluster, states: readonly ObservedNode[]): void {
  const fresh = states.filter(({ state }) => state.kind === 'maintenance')
  if (fresh.length === 0) return
  throw new Problem(
    'NOT_CONFIGURED',
    `${fresh.map(({ node }) => node.name).join(', ')} has no machine config`,
    {
      now: 'nothing was changed',
      hint: `bring the cluster up first: ${commandFor(cluster, 'cluster:up')}`,
    },
  )
}
