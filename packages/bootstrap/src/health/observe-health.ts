import { generatedFiles, type Cluster } from '@talosmith/core'
import { askEtcd } from '@talosmith/clients/etcd'
import {
  type NodeObject,
  ApiUnreachable,
  NotOurApi,
  statusOf,
  type Kubernetes,
} from '@talosmith/clients/kubernetes'
import { nodesLeftBehind, type Answer, type Snapshot } from './health.ts'
import { configFile } from '../config/machine-config.ts'
import { readMachineStatus, probe, type Talosctl, parseVersions } from '@talosmith/clients/talos'
import { expectedWorkloads, type Workload } from './rollout.ts'
import type { PublicSecrets } from '../generated/secrets.ts'
import { hasChannel } from '../upgrade/guest-agent.ts'

/** Asks Talos and Kubernetes side by side: one handshake a machine, four processes in all, the rest HTTPS. */
export async function observeHealth(
  cluster: Cluster,
  talosctl: Talosctl,
  kubernetes: Kubernetes,
  secrets: PublicSecrets,
): Promise<Snapshot> {
  const [talos, api] = await Promise.all([
    observeTalos(cluster, talosctl, secrets),
    observeApi(cluster, kubernetes),
  ])
  const [controlPlane] = cluster.controlPlanes
  const config = controlPlane && (await generatedFiles(cluster).read(configFile(controlPlane)))
  return { ...talos, ...api, expectedWorkloads: expectedWorkloads(config ?? '') }
}

async function observeTalos(
  { nodes, controlPlanes, ...rest }: Cluster,
  talosctl: Talosctl,
  { talosCa }: PublicSecrets,
): Promise<Pick<Snapshot, 'probes' | 'versions' | 'machines' | 'withoutChannel' | 'etcd'>> {
  const probes = new Map(
    await Promise.all(
      nodes.map(async ({ name, address }) => [name, await probe(address, talosCa)] as const),
    ),
  )
  // A machine that is off would hold up the answers of the others.
  const isThere = ({ name }: { readonly name: string }) => probes.get(name)?.kind === 'ours'
  const there = nodes.filter(isThere).map(({ address }) => address)
  const via = controlPlanes.filter(isThere).map(({ address }) => address)
  if (via.length === 0) {
    const reason = 'no control plane answers'
    const etcd = { ok: false, reason } as const
    const machines = { byAddress: new Map(), silence: reason }
    return { probes, versions: new Map(), machines, withoutChannel: new Set(), etcd }
  }
  const [versions, machines, etcd] = await Promise.all([
    talosctl
      .ask(there, ['version'], { via, timeoutMs: 20_000, nothrow: true })
      .then(({ stdout }) => parseVersions(stdout)),
    readMachineStatus(there, via, talosctl),
    answer(() => askEtcd({ nodes, controlPlanes, ...rest }, talosctl, via)),
  ])
  const booting = rest.image.hasGuestAgent
    ? nodes.filter(({ address }) => machines.byAddress.get(address)?.stage === 'booting')
    : []
  const channels = await Promise.all(booting.map((node) => hasChannel(node, talosctl)))
  const withoutChannel = new Set(
    booting.filter((_, index) => channels[index] === false).map(({ name }) => name),
  )
  return { probes, versions, machines, withoutChannel, etcd }
}

async function observeApi(
  cluster: Cluster,
  kubernetes: Kubernetes,
): Promise<
  Pick<Snapshot, 'apiServers' | 'endpoint' | 'vip' | 'nodes' | 'leftBehind' | 'workloads'>
> {
  const { controlPlanes } = cluster
  const apps = '/apis/apps/v1/namespaces/kube-system'
  const ready = (server?: string) =>
    answer(() => kubernetes.read('/readyz', server === undefined ? {} : { server }))
  const asked = ready()
  const [endpoint, vip, ...apiServers] = await Promise.all([
    asked,
    askVip(cluster, asked, ready),
    ...controlPlanes.map(({ address }) => {
      const server = `https://${address}:6443`
      return server === cluster.endpoint ? asked : ready(server)
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
    const notAsked = { ok: false, reason: 'not asked' } as const
    return [name, apiServers[index] ?? notAsked] as const
  })
  const leftBehind = nodes.ok ? nodesLeftBehind(cluster, nodes.value) : []
  return { endpoint, vip, nodes, leftBehind, workloads, apiServers: new Map(byName) }
}

/** What the VIP answers; undefined: there is none. Where it is the endpoint, `asked` is its answer already. */
export async function askVip(
  { endpoint, vip }: Pick<Cluster, 'endpoint' | 'vip'>,
  asked: Promise<Answer<unknown>>,
  ask: (server: string) => Promise<Answer<unknown>>,
): Promise<Answer<unknown> | undefined> {
  if (vip === undefined) return undefined
  return new URL(endpoint).hostname === vip ? asked : ask(`https://${vip}:6443`)
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
