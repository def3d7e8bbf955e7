/** Observes hosts, Talos and Kubernetes for a diagnosis, within its deadline. */
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
import {
  clusterOn,
  silentLog,
  type Answer,
  type Cluster,
  type Host,
  type Node,
} from '@talosmith/core'
import {
  hostOf,
  observeHostEvidence,
  observeHost,
  pathsOf,
  withPlaces,
  type HostEvidence,
  type MachineEvidence,
  type ObservedHost,
} from '@talosmith/vm'
import { inTime, type Timed } from '../status/gather.ts'

/** Everything that a diagnosis is made of, or the reason why it is not known. */
export interface Observations {
  /** In LIBVIRT_URI's order, like `evidence`. */
  readonly hosts: readonly Timed<ObservedHost>[]
  readonly evidence: readonly Answer<HostEvidence>[]
  readonly findings: Answer<TalosFindings>
  readonly api: Answer<KubernetesFindings>
  readonly plans: Answer<Pick<ObservedCluster, 'plans'>>
  readonly access: Answer<readonly AccessFile[]>
  /** Machines that did not answer at first, but accepted a connection a moment later: they have just started. */
  readonly justUp: ReadonlySet<string>
  /** Control planes whose API server did not answer at first, but accepted a connection a moment later. */
  readonly apiOpens: ReadonlySet<string>
}

/** Counted from the first question. */
const deadlineMs = 21_000

/** Queries hosts, Talos and Kubernetes in parallel, each until the deadline. */
export async function gatherObservations(
  cluster: Cluster,
  eachHost: () => readonly Promise<Host>[],
): Promise<Observations> {
  const started = performance.now()
  const within = (): number => deadlineMs - (performance.now() - started)
  const query = <T>(observe: () => Promise<T>): Promise<Timed<T>> => inTime(observe, within())
  const observedHosts = eachHost().map((host, index) =>
    query(async () => observeHost(await host, cluster, index)),
  )
  // The host of each machine has to be known before the machine can be inspected on it.
  const evidence = Promise.all(observedHosts).then((answers) => {
    const observed = answers.flatMap((answer) => (answer.ok ? [answer.value] : []))
    return Promise.all(
      eachHost().map((host, index) =>
        query(async () => observeMachines(await host, cluster, observed, index)),
      ),
    )
  })
  const [access, findings, api, plans, looked] = await Promise.all([
    query(() => observeAccessFiles(cluster)),
    query(() => observeTalosEvidence(cluster)),
    query(() => observeKubernetesEvidence(cluster)),
    query(() => observeCluster(cluster, silentLog)),
    evidence,
  ])
  const hosts = await Promise.all(observedHosts)
  const isSilent = ({ name }: Node): boolean =>
    findings.ok && findings.value.probes.get(name)?.kind === 'silent'
  const isApiSilent = ({ name }: Node): boolean =>
    api.ok && api.value.apiServers.get(name)?.ok === false
  const evidenceOf = ({ name }: Node): MachineEvidence | undefined =>
    looked.flatMap((answer) => (answer.ok ? (answer.value.machines.get(name) ?? []) : []))[0]
  const { nodes, controlPlanes } = cluster
  // A machine may come up between the two observations: retry those that only the host could reach.
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

const connectMs = 2000
const kubernetesPort = 6443

async function opening(nodes: readonly Node[], port: number): Promise<ReadonlySet<string>> {
  const opened = await Promise.all(nodes.map(({ address }) => opens(address, port)))
  return new Set(nodes.filter((_, index) => opened[index]).map(({ name }) => name))
}

function opens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: connectMs })
    const end = (is: boolean) => (): void => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', end(true))
    socket.once('timeout', end(false))
    socket.once('error', end(false))
  })
}

async function observeMachines(
  host: Host,
  cluster: Cluster,
  observed: readonly ObservedHost[],
  index: number,
): Promise<HostEvidence> {
  const here = observed.find((one) => one.index === index)
  if (here === undefined) throw new Error('the host could not be observed')
  const nodes = withPlaces(cluster, observed).nodes.filter(
    (node) => hostOf(cluster, node, observed) === here,
  )
  const seeds = new Map(nodes.map((node) => [node.name, pathsOf(cluster, node, here).seed]))
  return observeHostEvidence(host, clusterOn(cluster, index), nodes, seeds)
}
