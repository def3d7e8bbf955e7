import { connect } from 'node:net'
import {
  apiPort,
  observeCluster,
  observeKubernetesEvidence,
  observeTalosEvidence,
  type Answer,
  type KubernetesFindings,
  type ObservedCluster,
  type TalosFindings,
} from '@talosmith/bootstrap'
import { silentLog, type Cluster, type Host } from '@talosmith/core'
import {
  hostOf,
  observeEvidence,
  observeHost,
  pathsOf,
  type HostEvidence,
  type ObservedHost,
} from '@talosmith/vm'
import { gather as gatherStatus, inTime, type Gathered } from '../status/gather.ts'

/** Everything that a diagnosis looks at, each part with the reason when it is not there. */
export interface Seen extends Gathered {
  /** In LIBVIRT_URI's order. */
  readonly evidence: readonly Answer<HostEvidence>[]
  readonly findings: Answer<TalosFindings>
  readonly api: Answer<KubernetesFindings>
  readonly plans: Answer<Pick<ObservedCluster, 'plans'>>
  /** Machines that were silent, and whose port opened from here a moment later: they have just come up. */
  readonly justUp: ReadonlySet<string>
}

/** Counted from the program's start. */
const deadlineMs = 22_000

/** Asks hosts, Talos and Kubernetes side by side, each for as long as there is time. */
export async function gather(
  cluster: Cluster,
  eachHost: () => readonly Promise<Host>[],
): Promise<Seen> {
  const within = (): number => deadlineMs - performance.now()
  const ask = <T>(look: () => Promise<T>): Promise<Answer<T>> => inTime(look, within())
  const seenHosts = eachHost().map((host, index) =>
    ask(async () => observeHost(await host, cluster, index)),
  )
  // Where each machine is has to be known before it can be looked at there.
  const evidence = Promise.all(seenHosts).then((answers) => {
    const seen = answers.flatMap((answer) => (answer.ok ? [answer.value] : []))
    return Promise.all(
      eachHost().map((host, index) => ask(async () => lookThere(await host, cluster, seen, index))),
    )
  })
  const [status, findings, api, plans, looked] = await Promise.all([
    gatherStatus(cluster, () => [], within()),
    ask(() => observeTalosEvidence(cluster)),
    ask(() => observeKubernetesEvidence(cluster)),
    ask(() => observeCluster(cluster, silentLog)),
    evidence,
  ])
  const hosts = await Promise.all(seenHosts)
  const justUp = await findJustUp(cluster, findings, looked)
  return { ...status, hosts, findings, api, plans, evidence: looked, justUp }
}

const knockMs = 2000

/** A machine may come up between our look and its host's: those that only the host reaches are tried again. */
async function findJustUp(
  { nodes }: Cluster,
  findings: Answer<TalosFindings>,
  looked: readonly Answer<HostEvidence>[],
): Promise<ReadonlySet<string>> {
  const again = nodes.filter(
    ({ name }) =>
      findings.ok &&
      findings.value.probes.get(name)?.kind === 'silent' &&
      looked.some((answer) => answer.ok && answer.value.machines.get(name)?.opens === true),
  )
  const opened = await Promise.all(again.map(({ address }) => opens(address)))
  return new Set(again.filter((_, index) => opened[index]).map(({ name }) => name))
}

function opens(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: apiPort, timeout: knockMs })
    const end = (is: boolean) => (): void => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', end(true))
    socket.once('timeout', end(false))
    socket.once('error', end(false))
  })
}

async function lookThere(
  host: Host,
  cluster: Cluster,
  seen: readonly ObservedHost[],
  index: number,
): Promise<HostEvidence> {
  const here = seen.find((one) => one.index === index)
  if (here === undefined) throw new Error('the host was not seen')
  const nodes = cluster.nodes.filter((node) => hostOf(cluster, node, seen) === here)
  const seeds = new Map(nodes.map((node) => [node.name, pathsOf(cluster, node, here).seed]))
  return observeEvidence(host, cluster, nodes, seeds)
}
