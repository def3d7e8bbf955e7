/** The proof that a machine is well after its restart. Pure. */
import type { Cluster, Node } from '@talosmith/core'
import {
  machineProblem,
  isRight,
  type NodeFacts,
  type RunningTalos,
  type Target,
} from '@talosmith/clients/talos'
import { judgeEtcd, type EtcdFacts } from '@talosmith/clients/etcd'
import { nodeFault, type NodeObject } from '@talosmith/clients/kubernetes'

/** What a machine says of itself after its restart, and what others say of it. */
export interface RestartedMachine {
  readonly facts: NodeFacts
  /** Undefined: Kubernetes does not know the machine. */
  readonly node: NodeObject | undefined
  /** Undefined: not asked, because a worker has none. */
  readonly etcd: EtcdFacts | undefined
}

/** What should be so. */
export interface Expected {
  readonly target: Target
  /** The kubelet's version, which Talos' own upgrade does not change. */
  readonly kubernetes: string
}

/** Why a machine is not proven to be well after its upgrade; undefined: it is. `final`: waiting can't mend it. */
export function proofFault(
  cluster: Cluster,
  { name, address, role }: Node,
  { target, kubernetes }: Expected,
  { facts, node, etcd }: RestartedMachine,
): { readonly reason: string; readonly final: boolean } | undefined {
  const lasting = (reason: string) => ({ reason, final: true })
  const passing = (reason: string) => ({ reason, final: false })
  if (!isRight(facts, target)) return passing(`${name} runs ${describeRunning(facts)}`)
  const isOurs = target.schematic === cluster.schematic.id
  const missing = (isOurs ? cluster.settings.TALOS_EXTENSIONS : [])
    .map(baseName)
    .filter((extension) => !facts.extensions.includes(extension))
  if (missing.length > 0) return lasting(`${name} lacks the extension ${missing.join(', ')}`)
  if (facts.platform !== 'nocloud')
    return facts.platform === undefined
      ? passing(`${name} does not say its platform yet`)
      : lasting(`${name} came back as ${facts.platform} instead of nocloud`)
  if (facts.machine === undefined) return passing(`${name} does not say how it is`)
  const fault = machineProblem(facts.machine)
  if (fault !== undefined) return passing(`${name} is ${fault}`)
  if (role === 'controlplane' && etcd === undefined)
    return passing(`${name} does not say how its etcd is`)
  const [first] = etcd === undefined ? [] : judgeEtcd(cluster, etcd)
  if (first !== undefined) return passing(`${first.who}: ${first.why}`)
  if (node === undefined) return passing(`${name} is not a node of Kubernetes`)
  const notReady = nodeFault(node)
  if (notReady !== undefined) return passing(`${name} ${notReady}`)
  const { addresses = [], nodeInfo } = node.status ?? {}
  if (!addresses.some((one) => one.type === 'InternalIP' && one.address === address))
    return passing(`${name} is in Kubernetes without its address ${address}`)
  return nodeInfo?.kubeletVersion === kubernetes
    ? undefined
    : passing(
        `${name} has kubelet ${nodeInfo?.kubeletVersion ?? 'of no known version'}, not ${kubernetes}`,
      )
}

/** A Talos version with its schematic, shortly. */
export function describeRunning({
  talosVersion,
  schematic,
}: Pick<RunningTalos, 'talosVersion' | 'schematic'>): string {
  return `${talosVersion} (schematic ${schematic?.slice(0, 12) ?? 'none'})`
}

function baseName(extension: string): string {
  return extension.slice(extension.lastIndexOf('/') + 1)
}
