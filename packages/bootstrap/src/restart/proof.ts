/** Verifies that a machine is healthy after its restart. Pure. */
import type { Cluster, Node } from '@talosmith/core'
import {
  machineProblem,
  isRight,
  type NodeFacts,
  type RunningTalos,
  type Target,
} from '@talosmith/clients/talos'
import { missingArguments } from '../config/kernel-arguments.ts'
import { judgeEtcd, type EtcdFacts } from '@talosmith/clients/etcd'
import { isOfFormerBoot, nodeProblem, type NodeObject } from '@talosmith/clients/kubernetes'

/** A machine after its restart, as reported by itself, Kubernetes and etcd. */
export interface RestartedMachine {
  readonly facts: NodeFacts
  /** Undefined: the machine is not registered in Kubernetes. */
  readonly node: NodeObject | undefined
  /** Undefined: not queried, because workers run no etcd. */
  readonly etcd: EtcdFacts | undefined
  /** The ID of its boot; undefined: it did not report it. */
  readonly boot?: string | undefined
  /** Undefined: not queried, because none are configured. */
  readonly kernelArguments?: readonly string[] | undefined
}

/** The desired state of a machine after its restart. */
export interface Expected {
  readonly target: Target
  /** The kubelet's version, which an upgrade of Talos does not change. */
  readonly kubernetes: string
}

/** Why a machine is not healthy after its upgrade; undefined when it is. `final`: waiting does not help. */
export function findRestartProblem(
  cluster: Cluster,
  { name, address, role }: Node,
  { target, kubernetes }: Expected,
  { facts, node, etcd, boot, kernelArguments }: RestartedMachine,
): { readonly reason: string; readonly final: boolean } | undefined {
  const permanent = (reason: string) => ({ reason, final: true })
  const transient = (reason: string) => ({ reason, final: false })
  if (!isRight(facts, target)) return transient(`${name} runs ${describeRunning(facts)}`)
  const isOurs = target.schematic === cluster.schematic.id
  const missing = (isOurs ? cluster.settings.TALOS_EXTENSIONS : [])
    .map(baseName)
    .filter((extension) => !facts.extensions.includes(extension))
  if (missing.length > 0) return permanent(`${name} lacks the extension ${missing.join(', ')}`)
  const wanted = isOurs ? cluster.settings.TALOS_KERNEL_ARGS : []
  const lost = kernelArguments === undefined ? [] : missingArguments(wanted, kernelArguments)
  if (lost.length > 0)
    return permanent(`${name} runs without the kernel arguments ${lost.join(', ')}`)
  if (facts.platform !== 'nocloud')
    return facts.platform === undefined
      ? transient(`${name} does not report its platform yet`)
      : permanent(`${name} came back as ${facts.platform} instead of nocloud`)
  if (facts.machine === undefined) return transient(`${name} does not report its status`)
  const problem = machineProblem(facts.machine)
  if (problem !== undefined) return transient(`${name} is ${problem}`)
  if (role === 'controlplane' && etcd === undefined)
    return transient(`${name} does not report the status of its etcd`)
  const [first] = etcd === undefined ? [] : judgeEtcd(cluster, etcd)
  if (first !== undefined) return transient(`${first.who}: ${first.why}`)
  if (node === undefined) return transient(`${name} is not registered as a Kubernetes node`)
  const notReady = nodeProblem(node)
  if (notReady !== undefined) return transient(`${name} ${notReady}`)
  if (isOfFormerBoot(node, boot))
    return transient(`${name} is shown in Kubernetes as it was before its restart`)
  const { addresses = [], nodeInfo } = node.status ?? {}
  if (!addresses.some((one) => one.type === 'InternalIP' && one.address === address))
    return transient(`${name} is registered in Kubernetes without its address ${address}`)
  return nodeInfo?.kubeletVersion === kubernetes
    ? undefined
    : transient(
        `${name} has kubelet ${nodeInfo?.kubeletVersion ?? 'of unknown version'}, not ${kubernetes}`,
      )
}

/** A Talos version with its abbreviated schematic ID. */
export function describeRunning({
  talosVersion,
  schematic,
}: Pick<RunningTalos, 'talosVersion' | 'schematic'>): string {
  return `${talosVersion} (schematic ${schematic?.slice(0, 12) ?? 'none'})`
}

function baseName(extension: string): string {
  return extension.slice(extension.lastIndexOf('/') + 1)
}
