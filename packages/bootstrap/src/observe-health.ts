import type { Cluster } from '@talosmith/core'
import {
  parseEtcdMembers,
  type Answer,
  type KubernetesObject,
  type MachineStatus,
  type Snapshot,
} from './health.ts'
import { kubeReason, type Kubectl } from './kubectl.ts'
import { parseResources, talosReason, type Talosctl } from './talosctl.ts'

/** Asks Talos and Kubernetes side by side, with a number of processes that grows with control planes only. */
export async function observeHealth(
  cluster: Cluster,
  talosctl: Talosctl,
  kubectl: Kubectl,
): Promise<Snapshot> {
  const all = cluster.nodes.map(({ address }) => address)
  const [controlPlane = ''] = all
  const [machines, etcd, alarms, endpoint, objects, apiServers] = await Promise.all([
    answer(talosReason, async () => {
      const { stdout } = await talosctl.ask(all, ['get', 'machinestatus', '-o', 'json'])
      return new Map(parseResources<MachineStatus>(stdout).map(({ node, spec }) => [node, spec]))
    }),
    answer(talosReason, async () =>
      parseEtcdMembers((await talosctl.ask([controlPlane], ['etcd', 'members'])).stdout),
    ),
    answer(talosReason, async () => {
      const { stdout } = await talosctl.ask([controlPlane], ['etcd', 'alarm', 'list'])
      return stdout.split('\n').slice(1).join(' ').trim()
    }),
    readyz(kubectl, undefined),
    answer(kubeReason, async () => {
      const text = await kubectl([
        'get',
        'nodes,deployments,daemonsets',
        '--namespace',
        'kube-system',
        '--output',
        'json',
      ])
      return (JSON.parse(text) as { items: KubernetesObject[] }).items
    }),
    Promise.all(
      cluster.controlPlanes.map(
        async ({ name, address }) =>
          [name, await readyz(kubectl, `https://${address}:6443`)] as const,
      ),
    ),
  ])
  return { machines, etcd, alarms, endpoint, objects, apiServers: new Map(apiServers) }
}

async function readyz(kubectl: Kubectl, server: string | undefined): Promise<string | undefined> {
  try {
    await kubectl(['get', '--raw', '/readyz'], server === undefined ? {} : { server })
    return undefined
  } catch (error) {
    return kubeReason(error)
  }
}

async function answer<T>(
  reasonOf: (error: unknown) => string,
  ask: () => Promise<T>,
): Promise<Answer<T>> {
  try {
    return { ok: true, value: await ask() }
  } catch (error) {
    return { ok: false, reason: reasonOf(error) }
  }
}
