/** Whether etcd runs, and whether it ever did, according to its service and its data. */
import { furtherControlPlanes, reasonOf, type Cluster, type Node } from '@talosmith/core'
import {
  askTalos,
  etcdStateMs,
  parseService,
  probeMachines,
  readFailedPulls,
  reachableOf,
  resourcesOf,
  talosReason,
  unreachableBecause,
  type Talosctl,
} from '@talosmith/clients/talos'

/** Whether etcd runs anywhere, and if not, whether it ever did. */
export type EtcdState = 'running' | 'stopped' | 'none'

const serviceQuestion = resourcesOf<{ running: boolean }, boolean>(
  'service',
  (specs) => specs.some(({ running }) => running),
  'etcd',
)

/**
 * Whether etcd runs on any control plane and, where it does not, whether any of them holds its data.
 * A second etcd beside the data of the first would be a second, empty cluster: so `none` holds only
 * when every control plane has answered. Throws, with the reason, when that can't be known yet.
 */
export async function observeEtcdState(
  { controlPlanes }: Cluster,
  talosctl: Talosctl,
  { talosCa }: { readonly talosCa: string },
): Promise<EtcdState> {
  const probes = await probeMachines(controlPlanes, talosCa)
  const there = reachableOf(controlPlanes, probes)
  if (there.length > 0) {
    // A machine where etcd does not run has no such resource, which fails the call.
    const questions = { runs: serviceQuestion }
    const answers = await askTalos(there, questions, talosctl, { timeoutMs: etcdStateMs })
    if ([...answers.values()].some(({ runs }) => runs.ok && runs.value)) return 'running'
  }
  for (const { name } of controlPlanes) {
    const result = probes.get(name)
    const reason = result && unreachableBecause(result)
    if (reason !== undefined)
      throw new Error(result?.kind === 'maintenance' ? `${name} has no machine config` : reason)
  }
  return (await Promise.all(controlPlanes.map((node) => hasData(node, talosctl)))).includes(true)
    ? 'stopped'
    : 'none'
}

/** A control plane of the cluster that its settings do not name, and what etcd is there. */
export interface OtherEtcd extends Pick<Node, 'name' | 'address'> {
  readonly why: string
}

/**
 * The control planes beyond CONTROL_PLANE_COUNT, by their addresses, that have a certificate of our CA and run
 * etcd, have its data, or do not report whether they do: after the count was lowered they are still the cluster.
 */
export async function observeEtcdElsewhere(
  cluster: Cluster,
  talosctl: Talosctl,
  { talosCa }: { readonly talosCa: string },
): Promise<OtherEtcd[]> {
  const others = furtherControlPlanes(cluster)
  const there = reachableOf(others, await probeMachines(others, talosCa))
  if (there.length === 0) return []
  const options = { timeoutMs: etcdStateMs }
  const answers = await askTalos(there, { runs: serviceQuestion }, talosctl, options)
  const found = there.map(async ({ name, address }): Promise<OtherEtcd[]> => {
    const runs = answers.get(name)?.runs
    if (runs?.ok === true && runs.value) return [{ name, address, why: 'runs etcd' }]
    try {
      const has = await hasData({ name, address }, talosctl)
      return has ? [{ name, address, why: 'has etcd data' }] : []
    } catch (error) {
      return [{ name, address, why: `may have etcd data (${reasonOf(error)})` }]
    }
  })
  return (await Promise.all(found)).flat()
}

/** Talos itself decides by this folder whether etcd was bootstrapped (Bootstrap answers AlreadyExists). */
async function hasData(
  { name, address }: Pick<Node, 'name' | 'address'>,
  talosctl: Talosctl,
): Promise<boolean> {
  try {
    const { stdout } = await talosctl.ask([address], ['list', '/var/lib/etcd'], {
      timeoutMs: etcdStateMs,
    })
    return stdout.split('\n').some((line) => /(?:^|\s)member$/.test(line.trimEnd()))
  } catch (error) {
    const reason = talosReason(error)
    if (/no such file or directory/.test(reason)) return false
    throw new Error(`${name} does not report whether it has etcd data: ${reason}`)
  }
}

/** Why etcd does not run on a machine, from its last event; undefined: it runs. */
export async function etcdServiceProblem(
  node: Node,
  talosctl: Talosctl,
): Promise<string | undefined> {
  try {
    const service = await readEtcdService(node, talosctl)
    if (service?.state === 'Running') return undefined
    const event = `etcd on ${node.name} is ${service?.state ?? 'not there'}: ${service?.event ?? 'no event'}`
    if (service?.state !== 'Preparing') return event
    const pull = (await readFailedPulls(node, talosctl)).findLast((line) => /etcd/.test(line))
    return pull === undefined ? event : `${event}: ${pull}`
  } catch (error) {
    return `${node.name} does not report the state of etcd: ${talosReason(error)}`
  }
}

/** Whether etcd may run on a machine: it does, or the machine does not report that. */
export async function mayRunEtcd(node: Node, talosctl: Talosctl): Promise<boolean> {
  return readEtcdService(node, talosctl).then(
    (service) => service?.state === 'Running',
    () => true,
  )
}

async function readEtcdService({ address }: Node, talosctl: Talosctl) {
  const options = { timeoutMs: etcdStateMs }
  return parseService((await talosctl.ask([address], ['service', 'etcd'], options)).stdout)
}
