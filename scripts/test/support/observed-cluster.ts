/** A cluster of three control planes and a worker as a diagnosis observes it, healthy except for given parts. */
import type { KubernetesFindings, TalosEvidence, TalosFindings } from '@talosmith/bootstrap'
import type { Answer, Node } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import {
  describeMachine,
  type HostEvidence,
  type MachineEvidence,
  type ObservedHost,
} from '@talosmith/vm'
import { finishedHost } from '@talosmith/vm/testing'
import { findCauses } from '../../diagnose/find.ts'
import type { Observations } from '../../diagnose/gather.ts'

/** The settings of the observed cluster. */
export const cluster = testCluster({
  CONTROL_PLANE_COUNT: '3',
  WORKER_COUNT: '1',
  CLUSTER_VIP: '10.0.0.60',
  TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent',
})
/** What did not answer. */
export const down = (reason: string) => ({ ok: false, reason }) as const
/** An API server that does not answer in time. */
export const late = { ...down('no answer within 5 s'), unreachable: 'timeout' } as const
/** An API server whose port is closed. */
export const refused = { ...down('connection refused'), unreachable: 'ECONNREFUSED' } as const
/** What answered. */
export const up = <T>(value: T): Answer<T> => ({ ok: true, value })

/** The host of all machines. */
export const host = finishedHost(cluster)
export const { files } = host

function machineOf(node: Node) {
  return describeMachine(cluster, node, { disk: files.disk(node), seed: files.seed(node) }, 'kvm')
}

/** The console of a machine that has booted. */
export const booted = [
  '[    0.000000] Linux version 6.18.0',
  '[   20.1] [talos] boot sequence: done',
]

function evidenceOf(node: Node): MachineEvidence {
  return {
    state: 'running',
    stateReason: 'booted',
    diskErrors: '',
    running: machineOf(node),
    isSeedKnown: true,
    seedLabel: 'cidata',
    console: booted,
    answering: [node.mac],
    elsewhere: [],
    opens: true,
    opensApi: true,
  }
}

/** A service that Talos reports. */
export const service = (
  id: string,
  state = 'Running',
  health = 'OK',
  event = '',
  log: string[] = [],
) => ({
  ...{ id, state, health, event, log },
})

function talosOf(node: Node): TalosEvidence {
  return {
    status: { stage: 'running', status: { ready: true, unmetConditions: null } },
    silence: '',
    services: ['apid', 'kubelet', 'ext-qemu-guest-agent']
      .concat(node.role === 'controlplane' ? ['etcd'] : [])
      .map((id) => service(id)),
    version: cluster.settings.TALOS_VERSION,
    addresses: node.name === 'home-cp1' ? [node.address, '10.0.0.60'] : [node.address],
    gateways: ['10.0.0.1'],
    resolvers: [...cluster.settings.NETWORK_NAMESERVERS],
    clockAheadS: 0,
    timeSynced: true,
    disk: { sizeGb: 18, usedGb: 2 },
    diskPaths: ['/dev/vda', '/dev/sr0'],
    diagnostics: [],
  }
}

/** The members of etcd: all control planes. */
export const allMembers = cluster.controlPlanes.map(({ name }) => ({
  id: `id-${name}`,
  name,
  isLearner: false,
}))

/** The status of a control plane's etcd. */
export const member = (node: Node, leader = 'id-home-cp1') => ({
  node: node.address,
  id: `id-${node.name}`,
  leader,
  raftIndex: 100,
  raftTerm: 2,
  isLearner: false,
  errors: '',
})

/** What differs from a healthy cluster. */
export interface Parts {
  host?: Partial<ObservedHost>
  /** By machine name. */
  evidence?: Record<string, Partial<MachineEvidence>>
  talos?: Record<string, Partial<TalosEvidence> | undefined>
  probes?: Record<string, 'silent' | 'foreign' | 'maintenance'>
  etcd?: Partial<TalosFindings['etcd']>
  api?: Partial<KubernetesFindings>
  network?: Partial<HostEvidence>
  more?: Partial<Observations>
}

/** A healthy cluster, except for the given parts. */
export function observedWith(parts: Parts = {}): Observations {
  const nodes = cluster.nodes
  const machines = new Map(
    nodes.flatMap((node): [string, TalosEvidence][] => {
      const change = parts.talos?.[node.name]
      const isGone = parts.probes?.[node.name] !== undefined
      return isGone ? [] : [[node.name, { ...talosOf(node), ...change }]]
    }),
  )
  return {
    hosts: [up({ ...host, ...parts.host })],
    evidence: [
      up({
        host: host.host,
        machines: new Map(
          nodes.map((node) => [node.name, { ...evidenceOf(node), ...parts.evidence?.[node.name] }]),
        ),
        gatewayAnswers: true,
        vipAnswering: [],
        ...parts.network,
      }),
    ],
    findings: up({
      probes: new Map(
        nodes.map((node) => {
          const kind = parts.probes?.[node.name] ?? 'ours'
          const reason = `${node.address} does not answer; it may still be booting`
          return [
            node.name,
            kind === 'ours' || kind === 'maintenance' ? { kind } : { kind, reason },
          ]
        }),
      ),
      machines,
      etcd: {
        members: allMembers,
        status: cluster.controlPlanes.map((node) => member(node)),
        alarms: [],
        silence: new Map(),
        ...parts.etcd,
      },
    }),
    api: up({
      apiServers: new Map(cluster.controlPlanes.map(({ name }) => [name, up('ok')])),
      nodes: up(
        nodes.map(({ name, address }) => ({
          metadata: { name },
          status: {
            conditions: [{ type: 'Ready', status: 'True' }],
            addresses: [{ type: 'InternalIP', address }],
            nodeInfo: { kubeletVersion: cluster.settings.KUBERNETES_VERSION },
          },
        })),
      ),
      pods: up([]),
      endpoint: up('ok'),
      vip: up('ok'),
      workloads: up([]),
      expectedWorkloads: [],
      ...parts.api,
    }),
    plans: up({ plans: new Map() }),
    justUp: new Set(),
    apiOpens: new Set(),
    access: up([]),
    ...parts.more,
  }
}

/** The codes that are diagnosed, with the machine or host. */
export const codes = (parts: Parts): string[] =>
  findCauses(cluster, observedWith(parts)).diagnoses.map(
    ({ code, where }) => `${code}${where === undefined ? '' : ` ${where}`}`,
  )

/** The worker. */
export const w1 = 'home-w1'

/** The machine that libvirt runs. */
export const running = (name: string) => {
  const node = cluster.nodes.find((one) => one.name === name)
  if (node === undefined) throw new Error(name)
  return machineOf(node)
}

/** The console of one boot. */
export const boot = (...lines: string[]): string[] => [
  '[    0.000000] Linux version 6.18.0',
  ...lines,
]

/** A machine that Talos still boots. */
export const starting = {
  status: { stage: 'booting', status: { ready: false, unmetConditions: null } },
}
