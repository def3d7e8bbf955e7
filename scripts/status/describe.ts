/** Makes a status of what was observed. */
import type { AccessFile } from '@talosmith/bootstrap'
import type { EtcdStatus } from '@talosmith/clients/etcd'
import { nodeOf, readinessOf } from '@talosmith/clients/kubernetes'
import { hostLabel, type Answer, type Cluster, type Node } from '@talosmith/core'
import { describeMachineStatus, withPlaces, type StatusRow } from '@talosmith/vm'
import { describeError, type Gathered } from './gather.ts'
import type { AccessStatus, ClusterStatus, NodeStatus, Source } from './report.ts'

const dayMs = 24 * 3600 * 1000

/** Combines what hosts, Talos, etcd and Kubernetes report about each machine. Pure. */
export function describeClusterStatus(
  cluster: Cluster,
  gathered: Gathered,
  now: Date,
): ClusterStatus {
  const { settings, endpoint, vip, schematic, image } = cluster
  const hosts = gathered.hosts.flatMap((host) => (host.ok ? [host.value] : []))
  const rows = describeMachineStatus(withPlaces(cluster, hosts), hosts)
  const names = new Set(cluster.nodes.map(({ name }) => name))
  const answers = endpointOf(gathered)
  return {
    cluster: cluster.name,
    at: now.toISOString(),
    talosVersion: settings.TALOS_VERSION,
    kubernetesVersion: settings.KUBERNETES_VERSION,
    endpoint: { url: endpoint, answers: answers.ok, reason: answers.ok ? null : answers.reason },
    vip: vip === undefined ? null : { address: vip, ...holderOf(gathered) },
    schematic: { id: schematic.id, extensions: settings.TALOS_EXTENSIONS },
    image: { url: settings.IMAGE_PATH ?? image.url, installer: image.installer },
    access: gathered.access.ok
      ? gathered.access.value.map((file) => describeAccess(file, now))
      : [],
    nodes: cluster.nodes.map((node) =>
      describeNode(
        node,
        gathered,
        rows.find(({ machine }) => machine === node.name),
      ),
    ),
    leftOver: rows
      .filter(({ machine }) => !names.has(machine))
      .map(({ machine, host, state }) => ({ name: machine, host, state })),
    unknown: unknownOf(cluster, gathered),
  }
}

function endpointOf({ kubernetes }: Gathered): Answer<unknown> {
  return kubernetes.ok ? kubernetes.value.endpoint : kubernetes
}

function holderOf({ talos }: Gathered): { holder: string | null; reason: string | null } {
  const held = talos.ok ? talos.value.vipHolder : talos
  if (!held.ok) return { holder: null, reason: held.reason }
  const noHolder = 'no control plane has it'
  return { holder: held.value ?? null, reason: held.value === undefined ? noHolder : null }
}

function describeAccess({ name, path, expires, problem }: AccessFile, now: Date): AccessStatus {
  const left = expires === undefined ? undefined : new Date(expires).getTime() - now.getTime()
  return {
    name,
    path,
    expires: expires ?? null,
    daysLeft: left === undefined ? null : Math.floor(left / dayMs),
    fault: problem ?? null,
  }
}

function describeNode(node: Node, gathered: Gathered, row: StatusRow | undefined): NodeStatus {
  const { name, role, address } = node
  const facts = gathered.talos.ok ? gathered.talos.value.machines.get(name) : undefined
  const ofKubernetes = describeKubernetes(node, gathered)
  const vm = describeVm(gathered, row)
  return {
    name,
    role,
    address,
    vm,
    talos:
      facts?.stage === undefined
        ? null
        : {
            stage: facts.stage,
            ready: facts.ready ?? null,
            version: facts.version ?? null,
            schematic: facts.schematic ?? null,
          },
    kubernetes: ofKubernetes.value,
    etcd: role === 'controlplane' ? describeEtcd(node, gathered) : null,
    disk: facts?.disk ?? null,
    reasons: [
      ...(vm === null ? [] : (row?.notes ?? [])),
      // One that is off does not answer, and is not booting.
      ...(facts?.reason === undefined || vm?.state === 'shut off' ? [] : [facts.reason]),
      ...ofKubernetes.reasons,
    ],
  }
}

/** A machine that was not found is missing only if all hosts were observed. */
function describeVm({ hosts }: Gathered, row: StatusRow | undefined): NodeStatus['vm'] {
  if (row === undefined || row.host === '') return null
  if (row.state === 'missing' && !hosts.every(({ ok }) => ok)) return null
  const { host, state, cpu, memoryMib, diskGib, usedGib: writtenGib } = row
  return { host, state, cpu, memoryMib, diskGib, writtenGib }
}

function describeKubernetes(
  node: Node,
  { kubernetes }: Gathered,
): { value: NodeStatus['kubernetes']; reasons: readonly string[] } {
  const nodes = kubernetes.ok ? kubernetes.value.nodes : kubernetes
  if (!nodes.ok) return { value: null, reasons: [] }
  const found = nodeOf(node, nodes.value)
  if (found === undefined) return { value: null, reasons: ['it is not registered in Kubernetes'] }
  const condition = readinessOf(found)
  const ready = condition?.status === 'True'
  const version = found.status?.nodeInfo?.kubeletVersion ?? null
  return {
    value: { version, ready },
    reasons: ready ? [] : [`not Ready: ${condition?.message ?? 'no reason reported'}`],
  }
}

/** A running etcd reports its member; on a machine that answers, one that reports none is no member. */
function describeEtcd({ name, address }: Node, { talos }: Gathered): NodeStatus['etcd'] {
  const etcd: Answer<readonly EtcdStatus[]> = talos.ok ? talos.value.etcd : talos
  if (!etcd.ok) return null
  const own = etcd.value.find(({ node }) => node === address)
  const isSilent = talos.ok && talos.value.machines.get(name)?.stage === undefined
  if (own === undefined && isSilent) return null
  return {
    member: own !== undefined,
    learner: own?.isLearner ?? false,
    leader: own !== undefined && own.leader === own.id,
  }
}

function unknownOf(
  cluster: Cluster,
  { hosts, talos, kubernetes, access }: Gathered,
): ClusterStatus['unknown'] {
  const silent = (source: Source, answer: Answer<unknown>): ClusterStatus['unknown'] =>
    answer.ok ? [] : [{ source, reason: answer.reason }]
  // Each host has the same files in generated/ beside it.
  const unreadable = new Set(
    hosts.flatMap((host) =>
      host.ok && host.value.identity.unreadable !== undefined
        ? describeError(host.value.identity.unreadable)
        : [],
    ),
  )
  return [
    ...hosts.flatMap((host, index) =>
      silent('hosts', host).map(({ source, reason }) => ({
        source,
        reason:
          cluster.settings.LIBVIRT_URI.length < 2
            ? reason
            : `${hostLabel(cluster, index)}: ${reason}`,
      })),
    ),
    ...Array.from(unreadable, (reason) => ({ source: 'hosts' as const, reason })),
    ...silent('talos', talos),
    ...(talos.ok ? silent('etcd', talos.value.etcd) : []),
    ...silent('kubernetes', kubernetes.ok ? kubernetes.value.nodes : kubernetes),
    ...silent('access', access),
  ]
}
