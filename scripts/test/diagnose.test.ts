import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KubernetesFindings, TalosEvidence, TalosFindings } from '@talosmith/bootstrap'
import {
  bootsOf,
  codes as sharedCodes,
  poolUnreadable,
  Problem,
  projectRoot,
  type Answer,
  type Cluster,
  type Node,
} from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import {
  describeMachine,
  type HostEvidence,
  type MachineEvidence,
  type ObservedHost,
} from '@talosmith/vm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { finishedHost } from '@talosmith/vm/testing'
import { findCauses, isUncertain } from '../diagnose/find.ts'
import type { Observations } from '../diagnose/gather.ts'
import { findingsAsJson, renderFindings } from '../diagnose/report.ts'
import { viewsOf } from '../diagnose/view.ts'

const cluster = testCluster({
  CONTROL_PLANE_COUNT: '3',
  WORKER_COUNT: '1',
  CLUSTER_VIP: '10.0.0.60',
  TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent',
})
const down = (reason: string) => ({ ok: false, reason }) as const
const late = { ...down('no answer within 5 s'), unreachable: 'timeout' } as const
const refused = { ...down('connection refused'), unreachable: 'ECONNREFUSED' } as const
const up = <T>(value: T): Answer<T> => ({ ok: true, value })

const host = finishedHost(cluster)
const { files } = host

function machineOf(node: Node) {
  return describeMachine(cluster, node, { disk: files.disk(node), seed: files.seed(node) }, 'kvm')
}

const booted = ['[    0.000000] Linux version 6.18.0', '[   20.1] [talos] boot sequence: done']

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

const service = (id: string, state = 'Running', health = 'OK', event = '', log: string[] = []) => ({
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

const member = (node: Node, leader = 'id-home-cp1') => ({
  node: node.address,
  id: `id-${node.name}`,
  leader,
  raftIndex: 100,
  raftTerm: 2,
  isLearner: false,
  errors: '',
})

interface Parts {
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
function observedWith(parts: Parts = {}): Observations {
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
        members: cluster.controlPlanes.map(({ name }) => ({
          id: `id-${name}`,
          name,
          isLearner: false,
        })),
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

const codes = (parts: Parts): string[] =>
  findCauses(cluster, observedWith(parts)).diagnoses.map(
    ({ code, where }) => `${code}${where === undefined ? '' : ` ${where}`}`,
  )

test('a healthy cluster has no problems', () => {
  const findings = findCauses(cluster, observedWith())
  assert.equal(findings, { diagnoses: [], unmet: [] })
  assert.is(renderFindings(cluster, findings), 'No problems found in cluster home.')
})

const w1 = 'home-w1'
const running = (name: string) => {
  const node = cluster.nodes.find((one) => one.name === name)
  if (node === undefined) throw new Error(name)
  return machineOf(node)
}
const boot = (...lines: string[]): string[] => ['[    0.000000] Linux version 6.18.0', ...lines]
const failedBoot = boot(
  '[  211.1] [talos] boot sequence: failed',
  '[  211.2] [talos] fatal sequencer error in "boot" sequence: error running phase 5 in boot sequence: kubelet not up',
  '[  211.4] rebooting',
)
const starting = { status: { stage: 'booting', status: { ready: false, unmetConditions: null } } }
const waitingAgent = service(
  'ext-qemu-guest-agent',
  'Waiting',
  '?',
  'Waiting for file "/dev/virtio-ports/org.qemu.guest_agent.0" to exist',
)

const refusedByApi =
  'E1127 kubelet_node_status.go:107] "Unable to register node with API server" err="Post \\"https://127.0.0.1:7445/api/v1/nodes\\": tls: failed to verify certificate: x509: certificate signed by unknown authority" node="home-w1"'
const refusedByRegistry =
  'E1127 log.go:32] "PullImage from image service failed" err="failed to pull image: Head \\"https://registry.example/v2/app/manifests/1\\": tls: failed to verify certificate: x509: certificate signed by unknown authority"'
const isOff = { state: 'shut off', stateReason: 'destroyed', running: undefined } as const
const noLeader = (name: string) =>
  cluster.controlPlanes
    .filter((node) => node.name === name)
    .map((node) => ({ ...member(node, '0000000000000000'), errors: 'etcdserver: no leader' }))
const kubeletPulls = (words: string): Parts => ({
  talos: {
    [w1]: {
      ...starting,
      services: [
        service(
          'kubelet',
          'Failed',
          '?',
          `Failed to run pre stage: failed to pull image "ghcr.io/siderolabs/kubelet:v1.36.3": ${words}`,
        ),
      ],
    },
  },
})

const problems: [string, Parts, string[]][] = [
  [
    'an unreachable host',
    { more: { hosts: [down('no route')], evidence: [down('no route')] } },
    ['HOST_SILENT qemu:///system'],
  ],
  ['a full pool', { host: { poolFreeBytes: 0 } }, ['POOL_FULL root@kvm1']],
  [
    'a pool whose folder is gone',
    {
      host: {
        poolFreeBytes: 0,
        poolProblem: poolUnreadable(
          { pool: 'default', folder: '/pool', host: 'root@kvm1' },
          'df: /pool/.: No such file or directory',
        ),
      },
    },
    ['POOL_UNREADABLE root@kvm1'],
  ],
  [
    'a machine that does not exist',
    { host: { domains: host.domains.slice(0, 3) } },
    [`MACHINE_MISSING ${w1}`],
  ],
  [
    'a machine that is shut off',
    {
      evidence: { [w1]: { state: 'shut off', stateReason: 'destroyed', running: undefined } },
      probes: { [w1]: 'silent' },
    },
    [`MACHINE_OFF ${w1}`],
  ],
  [
    'a machine whose disk is lost',
    {
      host: {
        disks: new Map([...host.disks].filter(([path]) => path !== files.disk({ name: w1 }))),
        domains: host.domains.map((domain) =>
          domain.name === w1 ? { ...domain, live: { ...domain.live, state: 'shut off' } } : domain,
        ),
      },
      evidence: { [w1]: { state: 'shut off', stateReason: 'failed', running: undefined } },
      probes: { [w1]: 'silent' },
    },
    [`DISK_LOST ${w1}`],
  ],
  [
    'a machine that runs on a deleted disk',
    { host: { disks: new Map([...host.disks].filter(([path]) => !path.includes(w1))) } },
    [`DISK_LOST ${w1}`],
  ],
  [
    'a pool that is not mounted',
    {
      host: {
        ...{ disks: new Map(), seeds: new Map(), hasImage: false },
        domains: host.domains.map((domain) => ({
          ...domain,
          live: { ...domain.live, state: 'shut off' },
        })),
      },
      evidence: Object.fromEntries(
        cluster.nodes.map(({ name }) => [
          name,
          { state: 'shut off', stateReason: 'shutdown', running: undefined },
        ]),
      ),
    },
    cluster.nodes.map(({ name }) => `POOL_EMPTY ${name}`),
  ],
  [
    'a machine that crashed',
    { evidence: { [w1]: { state: 'shut off', stateReason: 'crashed', running: undefined } } },
    [`MACHINE_CRASHED ${w1}`],
  ],
  [
    'a machine paused by a user',
    { evidence: { [w1]: { state: 'paused', stateReason: 'user' } }, probes: { [w1]: 'silent' } },
    [`MACHINE_PAUSED ${w1}`],
  ],
  [
    'a machine paused by its disk',
    {
      evidence: {
        [w1]: { state: 'paused', stateReason: 'I/O error', diskErrors: 'vda: no space' },
      },
    },
    [`PAUSED_BY_DISK ${w1}`],
  ],
  [
    'a full pool and the machine that it paused',
    {
      host: { poolFreeBytes: 0 },
      evidence: { [w1]: { state: 'paused', stateReason: 'I/O error' } },
    },
    ['POOL_FULL root@kvm1', `PAUSED_BY_DISK ${w1}`],
  ],
  [
    'no firmware',
    {
      host: {
        hasUefi: false,
        domains: host.domains.map((domain) => ({
          ...domain,
          live: { ...domain.live, state: 'shut off' },
        })),
      },
    },
    ['FIRMWARE_MISSING root@kvm1'],
  ],
  [
    'a guest agent without a channel',
    {
      evidence: { [w1]: { running: { ...running(w1), guestAgent: false } } },
      talos: { [w1]: { ...starting, services: [waitingAgent] } },
    },
    [`GUEST_AGENT_CHANNEL_MISSING ${w1}`],
  ],
  [
    'too little memory',
    { evidence: { [w1]: { running: { ...running(w1), memoryMib: 512 } } } },
    [`MEMORY_TOO_SMALL ${w1}`],
  ],
  [
    'an empty CD-ROM drive',
    { evidence: { [w1]: { running: { ...running(w1), seed: '' } } } },
    [`SEED_MISSING ${w1}`],
  ],
  [
    'a seed ISO that was deleted',
    { evidence: { [w1]: { seedLabel: undefined } }, probes: { [w1]: 'silent' } },
    [`SEED_MISSING ${w1}`],
  ],
  [
    'a seed ISO with another label',
    { evidence: { [w1]: { seedLabel: 'seed' } } },
    [`SEED_LABEL_WRONG ${w1}`],
  ],
  [
    'the seed ISO of another machine',
    {
      host: {
        seeds: new Map(
          [...host.seeds].map(([path, owner]) => [path, owner && { ...owner, node: 'home-cp1' }]),
        ),
      },
    },
    ['SEED_OF_ANOTHER home-cp2', 'SEED_OF_ANOTHER home-cp3', `SEED_OF_ANOTHER ${w1}`],
  ],
  [
    'a CPU below x86-64-v2',
    {
      evidence: {
        [w1]: { console: boot('x86_64 microarchitecture level 2 or higher is required, halting') },
      },
      probes: { [w1]: 'silent' },
    },
    [`CPU_LEVEL_TOO_LOW ${w1}`],
  ],
  [
    'a disk without a bootable system',
    {
      evidence: { [w1]: { console: ['BdsDxe: No bootable option or device was found.'] } },
      probes: { [w1]: 'silent' },
    },
    [`NO_BOOT_DISK ${w1}`],
  ],
  [
    'a panic',
    {
      evidence: { [w1]: { console: boot('[ 3.1] Kernel panic - not syncing: VFS') } },
      probes: { [w1]: 'silent' },
    },
    [`KERNEL_PANIC ${w1}`],
  ],
  [
    'a boot that hangs in the initialize sequence',
    {
      evidence: { [w1]: { console: boot('[ 3.1] [talos] initialize sequence: failed') } },
      probes: { [w1]: 'silent' },
    },
    [`BOOT_HANGS ${w1}`],
  ],
  [
    'a machine that waits for its seed ISO for ever',
    {
      evidence: {
        [w1]: { console: boot('[  3.8] [talos] downloading config {}'), consoleQuietS: 200 },
      },
      probes: { [w1]: 'silent' },
    },
    [`SEED_STALLED ${w1}`],
  ],
  [
    'two failed boots in a row',
    {
      evidence: { [w1]: { console: [...failedBoot, ...failedBoot, ...boot()] } },
      talos: { [w1]: starting },
    },
    [`BOOT_LOOP ${w1}`],
  ],
  [
    'an address that another machine uses too',
    { evidence: { [w1]: { answering: ['52:54:00:99:99:99', running(w1).mac] } } },
    [`ADDRESS_TAKEN ${w1}`],
  ],
  ['a machine config with other secrets', { probes: { [w1]: 'foreign' } }, [`NODE_FOREIGN ${w1}`]],
  ['a port that is blocked', { probes: { [w1]: 'silent' } }, [`PORT_BLOCKED ${w1}`]],
  [
    'an address from DHCP',
    {
      probes: { [w1]: 'silent' },
      evidence: { [w1]: { opens: false, answering: [], elsewhere: ['10.0.0.123'] } },
    },
    [`ADDRESS_NOT_TAKEN ${w1}`],
  ],
  ['another gateway', { talos: { [w1]: { gateways: ['10.0.0.9'] } } }, [`GATEWAY_WRONG ${w1}`]],
  [
    'a gateway that does not answer',
    { network: { gatewayAnswers: false } },
    ['GATEWAY_SILENT root@kvm1'],
  ],
  ['other name servers', { talos: { [w1]: { resolvers: ['8.8.8.8'] } } }, [`RESOLVER_WRONG ${w1}`]],
  ['a machine without config', { probes: { [w1]: 'maintenance' } }, [`NO_CONFIG ${w1}`]],
  ['a clock that is ahead', { talos: { [w1]: { clockAheadS: 3600 } } }, [`CLOCK_SKEWED ${w1}`]],
  ['a clock that is behind', { talos: { [w1]: { clockAheadS: -90 } } }, [`CLOCK_SKEWED ${w1}`]],
  [
    'an image that cannot be pulled',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [
            service(
              'kubelet',
              'Preparing',
              '?',
              'failed to pull image "ghcr.io/x": lookup ghcr.io: no such host',
            ),
          ],
        },
      },
    },
    [`IMAGE_PULL_FAILS ${w1}`],
  ],
  [
    'a failing pull of etcd that only the log of Talos tells',
    {
      talos: {
        'home-cp3': {
          ...starting,
          services: [service('etcd', 'Preparing', '?', 'Running pre state')],
          pulls: [
            'retrying error: failed to pull image "registry.k8s.io/etcd:v3.6.14": 401 Unauthorized',
            'retrying error: failed to pull image "registry.k8s.io/etcd:v3.6.14": lookup registry.k8s.io: no such host',
          ],
        },
      },
    },
    ['IMAGE_PULL_FAILS home-cp3'],
  ],
  [
    'a kubelet with another CA',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [
            service('kubelet', 'Running', 'OK', 'Health check successful', [refusedByApi]),
          ],
        },
      },
      api: { nodes: up([]) },
    },
    [`KUBELET_REFUSED ${w1}`],
  ],
  [
    'a kubelet that was stopped',
    {
      talos: {
        [w1]: { services: [service('kubelet', 'Finished', '?', 'Service finished successfully')] },
      },
    },
    [`KUBELET_STOPPED ${w1}`],
  ],
  [
    'an etcd member that was stopped',
    { talos: { 'home-cp3': { services: [service('etcd', 'Finished')] } } },
    ['ETCD_STOPPED home-cp3'],
  ],
  [
    'two etcd members that were stopped',
    {
      talos: {
        'home-cp2': { services: [service('etcd', 'Finished')] },
        'home-cp3': { services: [service('etcd', 'Failed')] },
      },
      etcd: { members: [], status: [member(cluster.controlPlanes[0] as Node, '0000000000000000')] },
    },
    ['ETCD_STOPPED home-cp2', 'ETCD_STOPPED home-cp3', 'ETCD_NO_QUORUM'],
  ],
  [
    'a diagnostic warning of Talos',
    {
      talos: { [w1]: { diagnostics: ['host and Kubernetes pod/service CIDR addresses overlap'] } },
    },
    [`TALOS_COMPLAINS ${w1}`],
  ],
  [
    'an etcd that was bootstrapped twice',
    {
      etcd: {
        members: [{ id: 'id-home-cp1', name: 'home-cp1', isLearner: false }],
        status: cluster.controlPlanes.slice(0, 2).map((node) => member(node, `id-${node.name}`)),
      },
    },
    ['ETCD_BOOTSTRAPPED_TWICE'],
  ],
  [
    'an etcd member that is not a control plane',
    {
      etcd: {
        members: [
          ...cluster.controlPlanes.map(({ name }) => ({
            id: `id-${name}`,
            name,
            isLearner: false,
          })),
          { id: 'x', name: 'home-old', addresses: ['10.0.0.99'], isLearner: false },
        ],
      },
    },
    ['ETCD_MEMBER_MISMATCH'],
  ],
  [
    'an etcd alarm',
    { etcd: { alarms: [{ member: 'id-home-cp1', alarm: 'NOSPACE' }] } },
    ['ETCD_ALARM'],
  ],
  [
    'an API server that rejects the kubeconfig',
    {
      api: { apiServers: new Map([['home-cp1', { ok: false, reason: 'HTTP 401', final: true }]]) },
    },
    ['API_NOT_OURS home-cp1'],
  ],
  [
    'an API port that is blocked',
    { api: { apiServers: new Map([['home-cp1', late]]) } },
    ['API_PORT_BLOCKED home-cp1'],
  ],
  [
    'a VIP that no machine holds',
    { talos: { 'home-cp1': { addresses: ['10.0.0.70'] } } },
    ['VIP_UNHELD'],
  ],
  [
    'an expired access file',
    {
      more: {
        access: up([
          { name: 'kubeconfig', path: 'k', expires: '2020-01-01T00:00:00Z', problem: undefined },
        ]),
      },
    },
    ['ACCESS_EXPIRED'],
  ],
  [
    'a config that is in memory only',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [],
          failedVolumes: [{ id: 'STATE', phase: 'failed', error: 'no disks matched' }],
        },
      },
    },
    [`VOLUME_FAILED ${w1}`],
  ],
  [
    'a user volume that failed',
    { talos: { [w1]: { failedVolumes: [{ id: 'u-data', phase: 'failed', error: undefined }] } } },
    [`VOLUME_FAILED ${w1}`],
  ],
  ['a full disk', { talos: { [w1]: { disk: { sizeGb: 10, usedGb: 9.9 } } } }, [`DISK_FULL ${w1}`]],
  [
    'a pool that is stopped',
    { host: { poolProblem: new Problem('POOL_INACTIVE', 'the pool default is not active') } },
    ['POOL_INACTIVE root@kvm1'],
  ],
  [
    'a crashed guest that libvirt keeps paused',
    { evidence: { [w1]: { state: 'paused', stateReason: 'crashed' } }, probes: { [w1]: 'silent' } },
    [`MACHINE_CRASHED ${w1}`],
  ],
  [
    'an extension that failed',
    {
      talos: { [w1]: { services: [service('ext-iscsid', 'Failed', '?', 'exit code 1', ['no'])] } },
    },
    [`SERVICE_FAILED ${w1}`],
  ],
  [
    'a service of Talos that was stopped',
    { talos: { [w1]: { services: [service('cri', 'Finished', '?', 'Service finished')] } } },
    [`SERVICE_FAILED ${w1}`],
  ],
  [
    'an install disk that the machine does not have',
    { talos: { [w1]: { diskPaths: ['/dev/sda', '/dev/disk/by-id/x'] } } },
    [`INSTALL_DISK_WRONG ${w1}`],
  ],
  [
    'a machine config that does not match the settings',
    {
      more: {
        plans: up({
          plans: new Map([
            [
              w1,
              up({
                change: {
                  kind: 'update-config',
                  target: w1,
                  summary: 'Update the machine config of home-w1',
                  risk: 'none',
                },
                text: '',
                held: [],
              }),
            ],
          ]),
        }),
      },
    },
    [`OLD_CONFIG ${w1}`],
  ],
  [
    'control planes that are shut off',
    {
      evidence: { 'home-cp2': isOff, 'home-cp3': isOff },
      probes: { 'home-cp2': 'silent', 'home-cp3': 'silent' },
      etcd: { members: [], status: noLeader('home-cp1') },
    },
    ['MACHINE_OFF home-cp2', 'MACHINE_OFF home-cp3', 'ETCD_NO_QUORUM'],
  ],
  [
    'control planes that were undefined, so that etcd has no quorum',
    {
      host: { domains: host.domains.filter(({ name }) => !/cp[23]$/.test(name)) },
      probes: { 'home-cp2': 'silent', 'home-cp3': 'silent' },
      etcd: { members: [], status: noLeader('home-cp1') },
    },
    ['MACHINE_MISSING home-cp2', 'MACHINE_MISSING home-cp3', 'ETCD_NO_QUORUM'],
  ],
]
for (const [title, parts, expected] of problems)
  test(`${title} is diagnosed, with evidence and a remedy`, () => {
    const { diagnoses } = findCauses(cluster, observedWith(parts))
    assert.equal(codes(parts), expected)
    for (const { evidence, remedy, cause, code } of diagnoses) {
      assert.ok(evidence.length > 0, `${code} has no evidence`)
      assert.ok(remedy.length > 0, `${code} has no remedy`)
      assert.not.match([cause, ...evidence, ...remedy].join(' '), /undefined|\[object/)
    }
  })

const pod = {
  metadata: { name: 'coredns-1', namespace: 'kube-system' },
  spec: { nodeName: w1 },
  status: {
    containerStatuses: [
      { image: 'coredns:v9', state: { waiting: { reason: 'ImagePullBackOff', message: 'no' } } },
    ],
  },
}
test('an image in kube-system that cannot be pulled is diagnosed with its pod', () => {
  assert.equal(codes({ api: { pods: up([pod]) } }), [`POD_IMAGE_PULL_FAILS ${w1}`])
})

const namedNode = (name: string, address: string) => ({
  metadata: { name },
  status: {
    conditions: [{ type: 'Ready', status: 'True' }],
    addresses: [{ type: 'InternalIP', address }],
    nodeInfo: { kubeletVersion: cluster.settings.KUBERNETES_VERSION },
  },
})

test('the remedy of an ended service is one that Talos accepts', () => {
  const remedyOf = (id: string, machine: string): string => {
    const talos = { [machine]: { services: [service(id, 'Failed')] } }
    const [found] = findCauses(cluster, observedWith({ talos })).diagnoses
    return found?.remedy.at(-1) ?? ''
  }
  assert.match(remedyOf('kubelet', w1), /service kubelet start$/)
  assert.match(remedyOf('ext-iscsid', w1), /service ext-iscsid start$/)
  assert.match(remedyOf('etcd', 'home-cp3'), /-n 10\.0\.0\.72 reboot$/)
  assert.match(remedyOf('trustd', 'home-cp3'), / reboot$/)
})

test('the last failed pull of the very service is the reason shown', () => {
  const pulls = [
    'retrying error: failed to pull image "ghcr.io/siderolabs/kubelet:v1.36.3": EOF',
    'retrying error: failed to pull image "registry.k8s.io/etcd:v3.6.14": not found',
  ]
  const services = [service('kubelet', 'Preparing', '?', 'Running pre state')]
  const parts: Parts = { talos: { [w1]: { ...starting, services, pulls } } }
  const [found] = findCauses(cluster, observedWith(parts)).diagnoses
  assert.is(found?.code, 'IMAGE_PULL_FAILS')
  assert.match(found?.cause ?? '', 'the registry does not answer')
  assert.match(found?.evidence.at(-1) ?? '', 'kubelet:v1.36.3')
})

test('a machine that registered under a name that Talos generated is diagnosed', () => {
  const nodes = up([namedNode('talos-4km-1xz', '10.0.0.80')])
  assert.equal(codes({ api: { nodes } }), [`KUBELET_NAME ${w1}`])
  assert.equal(codes({ api: { nodes: up([namedNode('talos-w1', '10.0.0.80')]) } }), [])
})

test('machines that a patch has given names of their own are well', () => {
  const own = new Map(cluster.nodes.map(({ name }, index) => [name, `host-${index}`]))
  const members = cluster.controlPlanes.map(({ name, address }) => ({
    id: `id-${name}`,
    name: own.get(name) ?? '',
    addresses: [address],
    isLearner: false,
  }))
  const nodes = up(
    cluster.nodes.map(({ name, address }) => namedNode(own.get(name) ?? '', address)),
  )
  assert.equal(codes({ etcd: { members }, api: { nodes } }), [])
  // Neither does one that is down become a stranger, although it reports no member ID.
  const status = cluster.controlPlanes.slice(0, 2).map((node) => member(node))
  const silence = new Map([['home-cp3', 'connection refused']])
  const down = { etcd: { members, status, silence }, probes: { 'home-cp3': 'silent' } } as const
  const remedies = findCauses(cluster, observedWith({ ...down, api: { nodes } })).diagnoses
  assert.not.match(JSON.stringify(remedies), /remove-member|delete node/)
  const hidden = members.map(({ id, name, isLearner }) => ({ id, name, isLearner }))
  const unknown = { etcd: { ...down.etcd, members: hidden }, api: { nodes } }
  assert.not.match(
    JSON.stringify(
      findCauses(cluster, observedWith({ ...unknown, probes: down.probes })).diagnoses,
    ),
    /remove-member|delete node/,
  )
})

test('a member with the address of our control plane is never to be removed', () => {
  const members = cluster.controlPlanes.map(({ name, address }) => ({
    ...{ id: `id-${name}`, name: name === 'home-cp3' ? '' : name, addresses: [address] },
    isLearner: false,
  }))
  const status = cluster.controlPlanes.slice(0, 2).map((node) => member(node))
  const { diagnoses } = findCauses(cluster, observedWith({ etcd: { members, status } }))
  assert.not.match(JSON.stringify(diagnoses), /remove-member/)
})

test('a cluster that waits for a CNI of its user is diagnosed at once', () => {
  const message =
    'container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized'
  const nodes = up(
    cluster.nodes.map(({ name, address }) => ({
      ...namedNode(name, address),
      status: {
        addresses: [{ type: 'InternalIP', address }],
        conditions: [{ type: 'Ready', status: 'False', message }],
      },
    })),
  )
  assert.equal(codes({ api: { nodes, expectedWorkloads: ['coredns'] } }), ['NO_CNI'])
  assert.not(codes({ api: { nodes, expectedWorkloads: ['kube-flannel'] } }).includes('NO_CNI'))
})

test('a node that is not in the settings is diagnosed once it is not Ready', () => {
  const listed = (status: string) => ({
    metadata: { name: 'home-w9' },
    status: { conditions: [{ type: 'Ready', status, message: 'Kubelet stopped' }] },
  })
  const parts = (status: string): Parts => ({ api: { nodes: up([listed(status)]) } })
  assert.equal(codes(parts('True')), [])
  const [found] = findCauses(cluster, observedWith(parts('Unknown'))).diagnoses
  assert.is(found?.code, 'NODE_LEFT_BEHIND')
  assert.equal(found?.evidence, ['kubectl get node home-w9: Kubelet stopped'])
  assert.match(found?.remedy.join('\n') ?? '', /delete node home-w9$/m)
})

const slow: [string, Parts][] = [
  [
    'a machine that comes up during the observation',
    { probes: { [w1]: 'silent' }, more: { justUp: new Set([w1]) } },
  ],
  [
    'a machine that is booting',
    { probes: { [w1]: 'silent' }, evidence: { [w1]: { opens: false, answering: [] } } },
  ],
  [
    'a machine whose services are starting',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [
            service('kubelet', 'Preparing', '?', 'Running pre state'),
            service('etcd', 'Waiting', '?', 'Waiting for service "cri"'),
          ],
        },
      },
    },
  ],
  [
    'a guest agent with a channel that is still waiting',
    {
      talos: {
        [w1]: { ...starting, services: [service('ext-qemu-guest-agent', 'Waiting', '?', 'x')] },
      },
    },
  ],
  [
    'a kubelet that is not authorized yet',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [service('kubelet', 'Running', 'Fail', 'health', ['Unauthorized (401)'])],
        },
      },
    },
  ],
  [
    'an API server that is starting',
    {
      talos: { 'home-cp1': starting },
      api: { apiServers: new Map([['home-cp1', refused]]) },
    },
  ],
  [
    'a machine that boots again after one failed boot',
    { evidence: { [w1]: { console: [...failedBoot, ...boot()] } }, talos: { [w1]: starting } },
  ],
  [
    'a machine that reads its seed ISO',
    {
      evidence: {
        [w1]: {
          console: boot('[  3.8] [talos] downloading config {}'),
          consoleQuietS: 20,
          opens: false,
        },
      },
      probes: { [w1]: 'silent' },
    },
  ],
  [
    'old failures on the console of a healthy machine',
    { evidence: { [w1]: { console: [...failedBoot, ...failedBoot, ...booted] } } },
  ],
  [
    'two failed boots with a successful one after them',
    {
      evidence: { [w1]: { console: [...failedBoot, ...failedBoot, ...booted, ...boot()] } },
      talos: { [w1]: starting },
    },
  ],
  [
    'two failed boots before a successful one, while the machine is not ready yet',
    {
      evidence: { [w1]: { console: [...failedBoot, ...failedBoot, ...booted] } },
      talos: { [w1]: starting },
    },
  ],
  [
    'a seed ISO that is not readable',
    {
      evidence: { [w1]: { isSeedKnown: false, seedLabel: undefined, opens: false, answering: [] } },
      probes: { [w1]: 'silent' },
    },
  ],
  [
    'a machine that still has the MAC address it was started with',
    {
      evidence: {
        [w1]: {
          running: { ...running(w1), mac: '52:54:00:00:00:01' },
          answering: ['52:54:00:00:00:01'],
        },
      },
    },
  ],
  ...['migrating', 'saving', 'creating snapshot', 'starting up'].map(
    (stateReason): [string, Parts] => [
      `a machine that is paused for ${stateReason}`,
      { evidence: { [w1]: { state: 'paused', stateReason } }, probes: { [w1]: 'silent' } },
    ],
  ),
  [
    'an extension service that has finished',
    { talos: { [w1]: { services: [service('ext-once', 'Finished', '?', 'Service finished')] } } },
  ],
  ...['rebooting', 'shutting down', 'upgrading', 'resetting'].map((stage): [string, Parts] => [
    `services that stop while the machine is ${stage}`,
    {
      talos: {
        'home-cp1': {
          status: { stage, status: { ready: false, unmetConditions: null } },
          services: [service('etcd', 'Finished'), service('kubelet', 'Finished')],
        },
      },
    },
  ]),
  [
    'errors of the kubelet about images of pods',
    {
      talos: {
        [w1]: {
          ...starting,
          services: [service('kubelet', 'Running', 'Fail', 'health', [refusedByRegistry])],
        },
      },
      api: { nodes: up([]) },
    },
  ],
  [
    'an old refusal in the log of a kubelet whose node is Ready',
    {
      talos: {
        [w1]: { ...starting, services: [service('kubelet', 'Running', 'OK', '', [refusedByApi])] },
      },
    },
  ],
  [
    'a cluster before its first start',
    {
      host: { domains: [] },
      etcd: { members: [], status: [] },
      probes: Object.fromEntries(cluster.nodes.map(({ name }) => [name, 'silent'])),
      more: {
        access: up([
          { name: 'kubeconfig', path: 'k', expires: undefined, problem: 'missing' as const },
        ]),
      },
    },
  ],
  [
    'control planes that do not exist yet',
    {
      host: { domains: host.domains.filter(({ name }) => !/cp[23]$/.test(name)) },
      probes: { 'home-cp2': 'silent', 'home-cp3': 'silent' },
      etcd: {
        members: [{ id: 'id-home-cp1', name: 'home-cp1', isLearner: false }],
        status: cluster.controlPlanes.slice(0, 1).map((node) => member(node)),
      },
    },
  ],
  [
    'a leader election',
    {
      etcd: {
        status: cluster.controlPlanes.map((node, index) =>
          member(node, index === 0 ? 'id-home-cp1' : 'id-home-cp2'),
        ),
      },
    },
  ],
  [
    'an etcd member that is joining',
    {
      etcd: {
        members: [
          { id: 'id-home-cp1', name: 'home-cp1', isLearner: false },
          { id: 'id-home-cp2', name: 'home-cp2', isLearner: false },
          { id: 'new', name: '', isLearner: false },
        ],
      },
    },
  ],
  [
    'an etcd learner',
    {
      etcd: {
        members: [
          ...cluster.controlPlanes.map(({ name }) => ({
            id: `id-${name}`,
            name,
            isLearner: false,
          })),
          { id: 'new', name: '', isLearner: true },
        ],
      },
    },
  ],
  [
    'a control plane that does not report its addresses',
    { talos: { 'home-cp1': { addresses: [] } } },
  ],
  [
    'an API server that answers late',
    {
      api: { apiServers: new Map([['home-cp1', late]]) },
      more: { apiOpens: new Set(['home-cp1']) },
    },
  ],
  [
    'an API server that restarts on a ready machine',
    {
      api: { apiServers: new Map([['home-cp1', refused]]) },
      evidence: { 'home-cp1': { opensApi: false } },
    },
  ],
  ['disks that are not reported', { talos: { [w1]: { diskPaths: [] } } }],
  ['a clock a few seconds off', { talos: { [w1]: { clockAheadS: 20 } } }],
  [
    'Kubernetes that does not answer yet',
    { api: { nodes: down('no API server is ready'), apiServers: new Map() } },
  ],
]
for (const [title, parts] of slow)
  test(`no diagnosis for ${title}`, () => {
    assert.equal(
      codes(parts).filter((code) => !code.startsWith('MACHINE_MISSING')),
      [],
    )
  })

for (const [words, why] of [
  [
    'dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host',
    'the name of the registry cannot be resolved',
  ],
  [
    'proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused',
    'the proxy refuses the connection',
  ],
  ['tls: failed to verify certificate: x509: unknown authority', 'is not trusted'],
  ['unexpected status: 404 Not Found', 'the registry does not have the image'],
  ['dial tcp 10.0.0.9:443: i/o timeout', 'the registry does not answer'],
] as const)
  test(`an image that cannot be pulled with "${words}": ${why}`, () => {
    const [found] = findCauses(cluster, observedWith(kubeletPulls(words))).diagnoses
    assert.is(found?.code, 'IMAGE_PULL_FAILS')
    assert.match(found?.cause ?? '', why)
  })

test('a machine that no host has while one is silent may be there: it is not missing', () => {
  const described = (uris: string) =>
    testCluster({ LIBVIRT_URI: uris, CONTROL_PLANE_COUNT: '3', WORKER_COUNT: '1' })
  const domains = host.domains.filter(({ name }) => name !== 'home-cp1')
  const observed = observedWith({ host: { domains } })
  const silent = down('no answer')
  const hostOfFirst = (of: Cluster, more: Partial<Observations>) =>
    viewsOf(of, { ...observed, ...more }).find(({ node }) => node.name === 'home-cp1')?.host
  assert.is(hostOfFirst(described('qemu:///system'), {})?.index, 0)
  const two = described('qemu:///system,qemu+ssh://root@kvm2/system')
  assert.is(two.nodes[0]?.host, 0)
  assert.is(
    hostOfFirst(two, {
      hosts: [...observed.hosts, silent],
      evidence: [...observed.evidence, silent],
    }),
    undefined,
  )
})

test('a host that could not be inspected has the remedy of its problem', () => {
  const problem = new Problem('STORAGE_SILENT', 'the pool does not answer', { hint: 'mount it' })
  const hosts = [{ ...down('STORAGE_SILENT'), problem }]
  const more = { hosts, evidence: [down('the host could not be observed')] }
  const [found] = findCauses(cluster, observedWith({ more })).diagnoses
  assert.is(found?.code, 'STORAGE_SILENT')
  assert.equal(found?.remedy, ['# mount it'])
})

test('commands for a KVM host follow a line that names it', () => {
  for (const [title, parts] of problems)
    for (const { code, remedy } of findCauses(cluster, observedWith(parts)).diagnoses)
      remedy.forEach((line, index) => {
        if (!/\bvirsh (?!-c)/.test(line)) return
        assert.match(
          remedy.slice(0, index).join('\n'),
          /(?:^|\n)# on root@kvm1(?:\n#.*)*$/,
          `${title}: ${code}`,
        )
      })
})

for (const [title, parts, expected] of [
  [
    'a rollout in progress',
    { api: { expectedWorkloads: ['coredns'] } },
    'kube-system to be rolled out: coredns is not there yet',
  ],
  [
    'a machine that does not answer',
    { probes: { [w1]: 'silent' }, more: { justUp: new Set([w1]) } },
    `${w1}: 10.0.0.80 does not answer; it may still be booting`,
  ],
  [
    'an endpoint that does not answer',
    { api: { endpoint: down('connection refused') } },
    `${cluster.endpoint} to answer: connection refused`,
  ],
  [
    'a control plane that is not a member of etcd',
    {
      etcd: {
        members: cluster.controlPlanes
          .slice(0, 2)
          .map(({ name }) => ({ id: `id-${name}`, name, isLearner: false })),
      },
    },
    'home-cp3: is not a member of etcd',
  ],
] as [string, Parts, string][])
  test(`what health waits for is reported as unmet: ${title}`, () => {
    const findings = findCauses(cluster, observedWith(parts))
    assert.equal(findings.diagnoses, [])
    assert.is(findings.unmet[0], expected)
  })

test('a connection that the machine closed is not a blocked port', () => {
  const { findings, ...rest } = observedWith({ probes: { [w1]: 'silent' } })
  assert.ok(findings.ok)
  const closed = { kind: 'silent', reason: '10.0.0.80 is starting', hasClosed: true } as const
  const probes = new Map([...findings.value.probes, [w1, closed] as const])
  const { diagnoses, unmet } = findCauses(cluster, {
    ...rest,
    findings: up({ ...findings.value, probes }),
  })
  assert.equal(diagnoses, [])
  assert.is(unmet[0], `${w1}: 10.0.0.80 is starting`)
})

test('a source that did not answer is reported as unmet', () => {
  const findings = findCauses(
    cluster,
    observedWith({ more: { findings: down('no answer within 9 s') } }),
  )
  assert.equal(findings.unmet, ['Talos could not be queried: no answer within 9 s'])
  assert.match(renderFindings(cluster, findings), 'Unmet conditions without a known cause')
})

test('the root cause is on top, with evidence and remedy below it', () => {
  const parts: Parts = {
    host: { poolFreeBytes: 0 },
    talos: { 'home-cp3': { services: [service('etcd', 'Finished')] } },
    evidence: { [w1]: { state: 'paused', stateReason: 'I/O error' } },
  }
  assert.equal(codes(parts), [
    'POOL_FULL root@kvm1',
    `PAUSED_BY_DISK ${w1}`,
    'ETCD_STOPPED home-cp3',
  ])
  const text = renderFindings(cluster, findCauses(cluster, observedWith(parts)))
  assert.match(text, /^1\. POOL_FULL on root@kvm1: the pool default on root@kvm1 has 0 MiB left/)
  assert.match(text, /\n {5}evidence: virsh domstate home-w1: paused \(I\/O error\)\n/)
  assert.match(text, /\n {5}try: {6}CLUSTER=home npx nx run cluster:start\n/)
  const json = findingsAsJson(cluster, findCauses(cluster, observedWith(parts)))
  assert.equal(Object.keys(json), ['cluster', 'diagnoses', 'unmet'])
})

test('lines of logs are shown without secrets', () => {
  const diagnosis = { code: 'X', where: w1, cause: 'it fails', remedy: [] }
  const findings = {
    diagnoses: [{ ...diagnosis, evidence: ['login with token=Zq1nightfall'] }],
    unmet: [],
  }
  for (const text of [
    renderFindings(cluster, findings),
    JSON.stringify(findingsAsJson(cluster, findings)),
  ]) {
    assert.match(text, 'login with token=[removed]')
    assert.not.match(text, 'nightfall')
  }
})

test('unmet conditions without a cause are looked at again, a diagnosis is not', () => {
  const noAnswer = { apiServers: new Map([['home-cp1', refused]]) }
  const uncertain = findCauses(
    cluster,
    observedWith({ talos: { 'home-cp1': starting }, api: noAnswer }),
  )
  assert.equal([uncertain.diagnoses.length, uncertain.unmet.length > 0], [0, true])
  assert.ok(isUncertain(uncertain))
  assert.not.ok(isUncertain(findCauses(cluster, observedWith())))
  assert.not.ok(isUncertain(findCauses(cluster, observedWith({ probes: { [w1]: 'foreign' } }))))
})

test('a console is split into boots', () => {
  assert.equal(
    bootsOf(['a', ...boot('b'), ...boot('c')]).map((lines) => lines.at(-1)),
    ['a', 'b', 'c'],
  )
  assert.equal(bootsOf([]), [])
})

test('a boot of a quiet kernel is recognized by its timestamps', () => {
  const quiet = ['[    7.1] a', '[    7.0] b', 'c', '[   45.9] d', 'firmware', '[    6.9] e', 'f']
  assert.equal(
    bootsOf(quiet).map((lines) => lines.at(-1)),
    ['firmware', 'f'],
  )
  const failedBoot = [
    '[    7.1] loading',
    '[   10.9] [talos] fatal sequencer error in "boot" sequence: error running phase 3 in boot sequence: mounting EPHEMERAL: invalid argument',
  ]
  const console = [...booted, ...failedBoot, ...failedBoot]
  assert.equal(codes({ evidence: { 'home-w1': { console } }, probes: { 'home-w1': 'silent' } }), [
    'BOOT_LOOP home-w1',
  ])
})

test('every diagnosis has a heading in docs/troubleshooting/diagnosis.md, and every heading has a diagnosis', () => {
  const folder = join(projectRoot, 'scripts', 'diagnose', 'rules')
  const text = readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n')
  const own = [...text.matchAll(/(?<!settingOf\(node, )'([A-Z]+(?:_[A-Z]+)+)'/g)].map(
    ([, code = '']) => code,
  )
  const taken: readonly string[] = Object.entries(sharedCodes).flatMap(([state, code]) =>
    text.includes(`codes.${state}`) ? code : [],
  )
  const headings = (name: string): string[] =>
    [
      ...readFileSync(join(projectRoot, 'docs', 'troubleshooting', name), 'utf8').matchAll(
        /^## (\S+)$/gm,
      ),
    ].map(([, code = '']) => code)
  const documented = headings('diagnosis.md')
  assert.equal(
    documented.filter((code) => !own.includes(code) && !taken.includes(code)),
    [],
  )
  assert.equal(
    own.filter((code) => !documented.includes(code)),
    [],
  )
  assert.ok(documented.length >= 40, `${documented.length} diagnoses`)
})

test.run()
