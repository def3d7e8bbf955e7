/** Collects everything that health is judged by. */
import { observeEtcdFacts } from '@talosmith/clients/etcd'
import {
  ApiUnreachable,
  NotOurApi,
  statusOf,
  type Kubernetes,
  type NodeObject,
} from '@talosmith/clients/kubernetes'
import {
  answersOf,
  hasGuestAgentChannel,
  machineStatusQuestion,
  observeTalos,
  probeMachines,
  versionQuestion,
  type Talosctl,
} from '@talosmith/clients/talos'
import { generatedFiles, type Answer, type Cluster } from '@talosmith/core'
import { configFile } from '../config/machine-config.ts'
import type { PublicSecrets } from '../secrets/secrets.ts'
import { nodesLeftBehind, type HealthFacts } from './health.ts'
import { bringsManifests, expectedWorkloads, type Workload } from './rollout.ts'

/** Asks Talos and Kubernetes side by side: one handshake a machine, four processes in all, the rest HTTPS. */
export async function observeHealth(
  cluster: Cluster,
  talosctl: Talosctl,
  kubernetes: Kubernetes,
  secrets: PublicSecrets,
): Promise<HealthFacts> {
  const [talos, api] = await Promise.all([
    observeTalosHealth(cluster, talosctl, secrets),
    observeApi(cluster, kubernetes),
  ])
  const [controlPlane] = cluster.controlPlanes
  const config = controlPlane && (await generatedFiles(cluster).read(configFile(controlPlane)))
  return {
    ...{ ...talos, ...api },
    expectedWorkloads: expectedWorkloads(config ?? ''),
    bringsManifests: bringsManifests(config ?? ''),
  }
}

const questions = { version: versionQuestion, machine: machineStatusQuestion }

async function observeTalosHealth(
  cluster: Cluster,
  talosctl: Talosctl,
  { talosCa }: PublicSecrets,
): Promise<Pick<HealthFacts, 'probes' | 'versions' | 'machines' | 'withoutChannel' | 'etcd'>> {
  const { nodes } = cluster
  const probes = await probeMachines(nodes, talosCa)
  const [talos, etcd] = await Promise.all([
    observeTalos(cluster, { talosctl, talosCa, probes, questions, asksWorkersAlone: false }),
    observeEtcdFacts(cluster, talosctl, { talosCa, probes, asksAlarms: false }),
  ])
  const versions = new Map(
    [...talos.answers].flatMap(([name, { version }]) =>
      version.ok ? [[name, version.value] as const] : [],
    ),
  )
  const machines = answersOf(nodes, talos, 'machine')
  const isBooting = (name: string): boolean => {
    const machine = machines.get(name)
    return machine?.ok === true && machine.value.stage === 'booting'
  }
  const booting = cluster.image.hasGuestAgent ? nodes.filter(({ name }) => isBooting(name)) : []
  const channels = await Promise.all(booting.map((node) => hasGuestAgentChannel(node, talosctl)))
  const withoutChannel = new Set(
    booting.filter((_, index) => channels[index] === false).map(({ name }) => name),
  )
  return { probes, versions, machines, withoutChannel, etcd }
}

async function observeApi(
  cluster: Cluster,
  kubernetes: Kubernetes,
): Promise<
  Pick<HealthFacts, 'apiServers' | 'endpoint' | 'vip' | 'nodes' | 'leftBehind' | 'workloads'>
> {
  const { controlPlanes } = cluster
  const apps = '/apis/apps/v1/namespaces/kube-system'
  const ready = (server?: string) =>
    answer(() => kubernetes.read('/readyz', server === undefined ? {} : { server }))
  const endpointAnswer = ready()
  const [endpoint, vip, ...apiServers] = await Promise.all([
    endpointAnswer,
    askVip(cluster, endpointAnswer, ready),
    ...controlPlanes.map(({ address }) => {
      const server = `https://${address}:6443`
      return server === cluster.endpoint ? endpointAnswer : ready(server)
    }),
  ])
  // An API that just starts has enough to do.
  const [nodes, workloads] = endpoint.ok
    ? await Promise.all([
        answer(() => kubernetes.list<NodeObject>('/api/v1/nodes')),
        answer(async () => [
          ...(await kubernetes.list<Workload>(`${apps}/deployments`)),
          ...(await kubernetes.list<Workload>(`${apps}/daemonsets`)),
        ]),
      ])
    : [endpoint, endpoint]
  const byName = controlPlanes.map(({ name }, index) => {
    const unasked = { ok: false, reason: 'not asked' } as const
    return [name, apiServers[index] ?? unasked] as const
  })
  const leftBehind = nodes.ok ? nodesLeftBehind(cluster, nodes.value) : []
  return { endpoint, vip, nodes, leftBehind, workloads, apiServers: new Map(byName) }
}

/** The VIP's answer; undefined: there is no VIP. If the VIP is the endpoint, `endpointAnswer` is reused. */
export async function askVip(
  { endpoint, vip }: Pick<Cluster, 'endpoint' | 'vip'>,
  endpointAnswer: Promise<Answer<unknown>>,
  ask: (server: string) => Promise<Answer<unknown>>,
): Promise<Answer<unknown> | undefined> {
  if (vip === undefined) return undefined
  return new URL(endpoint).hostname === vip ? endpointAnswer : ask(`https://${vip}:6443`)
}

/** An answer, or the reason why there is none. */
export async function answer<T>(ask: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { ok: true, value: await ask() }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const status = statusOf(error)
    return {
      ok: false,
      reason,
      ...(error instanceof NotOurApi ? { final: true } : {}),
      ...(status === undefined ? {} : { status }),
      ...(error instanceof ApiUnreachable ? { unreachable: error.code } : {}),
    }
  }
}
