import type { Cluster } from '@talosmith/core'

/** A question that failed, with why; or its answer. */
export type Answer<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string }

export interface MachineStatus {
  readonly stage: string
  readonly status: {
    readonly ready: boolean
    readonly unmetConditions: readonly { readonly name: string; readonly reason: string }[] | null
  }
}

export interface EtcdMember {
  readonly name: string
  readonly isLearner: boolean
}

interface Condition {
  readonly type: string
  readonly status: string
  readonly message?: string
}

/** What kubectl prints of nodes, deployments and daemon sets, as far as health looks at it. */
export interface KubernetesObject {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly generation?: number }
  readonly spec?: { readonly replicas?: number }
  readonly status?: {
    readonly conditions?: readonly Condition[]
    readonly addresses?: readonly { readonly type: string; readonly address: string }[]
    readonly nodeInfo?: { readonly kubeletVersion: string; readonly osImage: string }
    readonly observedGeneration?: number
    readonly availableReplicas?: number
    readonly numberAvailable?: number
    readonly desiredNumberScheduled?: number
  }
}

/** Everything health looks at, asked for side by side. */
export interface Snapshot {
  readonly machines: Answer<ReadonlyMap<string, MachineStatus>>
  readonly etcd: Answer<readonly EtcdMember[]>
  /** Alarms that etcd raised; empty: none. */
  readonly alarms: Answer<string>
  /** Why a control plane's API server is not ready, by machine name; undefined: it is. */
  readonly apiServers: ReadonlyMap<string, string | undefined>
  /** Why the endpoint (the VIP, where there is one) does not answer; undefined: it does. */
  readonly endpoint: string | undefined
  readonly objects: Answer<readonly KubernetesObject[]>
}

/** A fact that a healthy cluster has. */
export interface HealthCondition {
  /** Noun phrase: it reads in "waiting for ...". */
  readonly fact: string
  /** Why it is not so; undefined: it is. */
  readonly reason: string | undefined
}

/** Judges a snapshot: every condition of a healthy cluster, in the order in which they become true. */
export function judge(cluster: Cluster, seen: Snapshot): HealthCondition[] {
  return [
    { fact: 'every machine to be running and ready', reason: machinesReason(cluster, seen) },
    { fact: 'etcd to have the control planes as members', reason: etcdReason(cluster, seen) },
    { fact: 'every API server to be ready', reason: apiServersReason(seen) },
    { fact: `${cluster.endpoint} to answer`, reason: seen.endpoint },
    { fact: 'every node to be Ready in the asked version', reason: nodesReason(cluster, seen) },
    { fact: 'kube-system to be rolled out', reason: rolloutReason(seen) },
  ]
}

function machinesReason({ nodes }: Cluster, { machines }: Snapshot): string | undefined {
  if (!machines.ok) return machines.reason
  return first(nodes, ({ name, address }) => {
    const machine = machines.value.get(address)
    if (machine === undefined) return `${name} does not say how it is`
    if (machine.stage !== 'running') return `${name} is ${machine.stage}${unmet(machine)}`
    return machine.status.ready ? undefined : `${name} is not ready${unmet(machine)}`
  })
}

function unmet({ status }: MachineStatus): string {
  const conditions = status.unmetConditions ?? []
  return conditions.length === 0
    ? ''
    : `: ${conditions.map(({ name, reason }) => `${name}: ${reason}`).join('; ')}`
}

function etcdReason({ controlPlanes }: Cluster, { etcd, alarms }: Snapshot): string | undefined {
  if (!etcd.ok) return etcd.reason
  const names = new Set(etcd.value.map(({ name }) => name))
  const missing = controlPlanes.filter(({ name }) => !names.has(name))
  if (missing.length > 0) return `${missing.map(({ name }) => name).join(', ')} has not joined`
  const strangers = etcd.value.filter(
    ({ name }) => !controlPlanes.some((node) => node.name === name),
  )
  if (strangers.length > 0)
    return `${strangers.map(({ name }) => name || 'a member that never started').join(', ')} is a member and no control plane of this cluster`
  const learner = etcd.value.find(({ isLearner }) => isLearner)
  if (learner !== undefined) return `${learner.name} is still learning`
  if (!alarms.ok) return alarms.reason
  return alarms.value === '' ? undefined : `alarm: ${alarms.value}`
}

function apiServersReason({ apiServers }: Snapshot): string | undefined {
  return first([...apiServers], ([name, reason]) =>
    reason === undefined ? undefined : `${name}: ${reason}`,
  )
}

function nodesReason({ nodes, settings }: Cluster, { objects }: Snapshot): string | undefined {
  if (!objects.ok) return objects.reason
  return first(nodes, ({ name, address }) => {
    const node = objects.value.find((one) => one.kind === 'Node' && one.metadata.name === name)
    if (node === undefined) return `${name} has not registered`
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready')
    if (ready?.status !== 'True')
      return `${name} is not Ready: ${ready?.message ?? 'no condition yet'}`
    const internal = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address
    if (internal !== address)
      return `${name} registered with ${internal ?? 'no address'} instead of ${address}`
    const { kubeletVersion = '', osImage = '' } = node.status?.nodeInfo ?? {}
    if (kubeletVersion !== settings.KUBERNETES_VERSION)
      return `${name} runs Kubernetes ${kubeletVersion}, asked was ${settings.KUBERNETES_VERSION}; npx nx run cluster:upgrade`
    return osImage.includes(settings.TALOS_VERSION)
      ? undefined
      : `${name} runs ${osImage}, asked was ${settings.TALOS_VERSION}; npx nx run cluster:upgrade`
  })
}

function rolloutReason({ objects }: Snapshot): string | undefined {
  if (!objects.ok) return objects.reason
  return first(objects.value, ({ kind, metadata, spec, status }) => {
    if (kind !== 'Deployment' && kind !== 'DaemonSet') return undefined
    const wanted = (kind === 'Deployment' ? spec?.replicas : status?.desiredNumberScheduled) ?? 0
    const available =
      (kind === 'Deployment' ? status?.availableReplicas : status?.numberAvailable) ?? 0
    const isCurrent = status?.observedGeneration === metadata.generation
    return isCurrent && available >= wanted
      ? undefined
      : `${metadata.name} has ${available} of ${wanted} available`
  })
}

function first<T>(
  items: readonly T[],
  reasonOf: (item: T) => string | undefined,
): string | undefined {
  for (const item of items) {
    const reason = reasonOf(item)
    if (reason !== undefined) return reason
  }
  return undefined
}

/** Reads the table of `talosctl etcd members`; it has no JSON form. */
export function parseEtcdMembers(table: string): EtcdMember[] {
  const [header = '', ...lines] = table.split('\n').filter((line) => line.trim() !== '')
  const columns = header.trim().split(/\s{2,}/)
  const at = (title: string): number => columns.indexOf(title)
  return lines.map((line) => {
    const cells = line.trim().split(/\s{2,}/)
    return { name: cells[at('HOSTNAME')] ?? '', isLearner: cells[at('LEARNER')] === 'true' }
  })
}
