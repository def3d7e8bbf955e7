import { connect } from 'node:net'
import {
  observeAccessFiles,
  observeCluster,
  observeKubernetesEvidence,
  observeTalosEvidence,
  type AccessFile,
  type KubernetesFindings,
  type ObservedCluster,
  type TalosFindings,
} from '@talosmith/bootstrap'
import { apiPort as talosPort } from '@talosmith/clients/talos'
import { silentLog, type Answer, type Cluster, type Host, type Node } from '@talosmith/core'
import {
  hostOf,
  observeEvidence,
  observeHost,
  pathsOf,
  type HostEvidence,
  type MachineEvidence,
  type ObservedHost,
} from '@talosmith/vm'
import { inTime, type Timed } from '../status/gather.ts'

/** Everything that a diagnosis looks at, each part with the reason when it is not there. */
export interface Seen {
  /** In LIBVIRT_URI's order, as `evidence`. */
  readonly hosts: readonly Timed<ObservedHost>[]
  readonly evidence: readonly Answer<HostEvidence>[]
  readonly findings: Answer<TalosFindings>
  readonly api: Answer<KubernetesFindings>
  readonly plans: Answer<Pick<ObservedCluster, 'plans'>>
  readonly access: Answer<readonly AccessFile[]>
  /** Machines that were silent, and whose port opened from here a moment later: they have just come up. */
  readonly justUp: ReadonlySet<string>
  /** Control planes whose API server did not answer, and whose port opened from here a moment later. */
  readonly apiOpens: ReadonlySet<string>
}

/** Counted from the program's start. */
const deadlineMs = 22_000

/** Asks hosts, Talos and Kubernetes side by side, each for as long as there is time. */
export async function gather(
  cluster: Cluster,
  eachHost: () => readonly Promise<Host>[],
): Promise<Seen> {
  const within = (): number => deadlineMs - performance.now()
  const ask = <T>(look: () => Promise<T>): Promise<Timed<T>> => inTime(look, within())
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
  const [access, findings, api, plans, looked] = await Promise.all([
    ask(() => observeAccessFiles(cluster)),
    ask(() => observeTalosEvidence(cluster)),
    ask(() => observeKubernetesEvidence(cluster)),
    ask(() => observeCluster(cluster, silentLog)),
    evidence,
  ])
  const hosts = await Promise.all(seenHosts)
  const isSilent = ({ name }: Node): boolean =>
    findings.ok && findings.value.probes.get(name)?.kind === 'silent'
  const isApiSilent = ({ name }: Node): boolean =>
    api.ok && api.value.apiServers.get(name)?.ok === false
  const evidenceOf = ({ name }: Node): MachineEvidence | undefined =>
    looked.flatMap((answer) => (answer.ok ? (answer.value.machines.get(name) ?? []) : []))[0]
  const { nodes, controlPlanes } = cluster
  // A machine may come up between our look and its host's: those that only the host reaches are tried again.
  const [justUp, apiOpens] = await Promise.all([
    opening(
      nodes.filter((node) => isSilent(node) && evidenceOf(node)?.opens),
      talosPort,
    ),
    opening(
      controlPlanes.filter((node) => isApiSilent(node) && evidenceOf(node)?.opensApi),
      kubernetesPort,
    ),
  ])
  return { hosts, findings, api, plans, access, evidence: looked, justUp, apiOpens }
}

const knockMs = 2000
const kubernetesPort = 6443

async function opening(nodes: readonly Node[], port: number): Promise<ReadonlySet<string>> {
  const opened = await Promise.all(nodes.map(({ address }) => opens(address, port)))
  return new Set(nodes.filter((_, index) => opened[index]).map(({ name }) => name))
}

function opens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: knockMs })
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
