import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KubernetesFindings, TalosEvidence, TalosFindings } from '@talosmith/bootstrap'
import { codes as sharedCodes, Problem, projectRoot, type Answer, type Node } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import {
  describeMachine,
  type HostEvidence,
  type MachineEvidence,
  type ObservedHost,
} from '@talosmith/vm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { seenExactly } from '@talosmith/vm/testing'
import { findCauses } from '../diagnose/find.ts'
import type { Seen } from '../diagnose/gather.ts'
import { findingsAsJson, renderFindings } from '../diagnose/report.ts'
import { bootsOf } from '../diagnose/rules/boot.ts'

const cluster = testCluster({
  CONTROL_PLANE_COUNT: '3',
  WORKER_COUNT: '1',
  CLUSTER_VIP: '10.0.0.60',
  TALOS_EXTENSIONS: 'siderolabs/qemu-guest-agent',
})
const down = (reason: string) => ({ ok: false, reason }) as const
const up = <T>(value: T): Answer<T> => ({ ok: true, value })

const host = seenExactly(cluster)
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
  more?: Partial<Seen>
}

/** A healthy cluster, with parts of it otherwise. */
function seenWith(parts: Parts = {}): Seen {
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
  findCauses(cluster, seenWith(parts)).diagnoses.map(
    ({ code, where }) => `${code}${where === undefined ? '' : ` ${where}`}`,
  )

test('nothing is wrong with a healthy cluster', () => {
  const findings = findCauses(cluster, seenWith())
  assert.equal(findings, { diagnoses: [], unmet: [] })
  assert.is(renderFindings(cluster, findings), 'Nothing is wrong with cluster home.')
})

const w1 = 'home-w1'
const running = (name: string) => {
  const node = cluster.nodes.find((one) => one.name === name)
  if (node === undefined) throw new Error(name)
  return machineOf(node)
}
const boot = (...lines: string[]): string[] => ['[    0.000000] Linux version 6.18.0', ...lines]
const gaveUp = boot('[  211.1] [talos] boot sequence failed: kubelet not up', '[  211.4] rebooting')
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

const faults: [string, Parts, string[]][] = [
  [
    'a host out of reach',
    { more: { hosts: [down('no route')], evidence: [down('no route')] } },
    ['HOST_SILENT qemu:///system'],
  ],
  ['a full pool', { host: { poolFreeBytes: 0 } }, ['POOL_FULL root@kvm1']],
  [
    'a machine that is not there',
    { host: { domains: host.domains.slice(0, 3) } },
    [`MACHINE_MISSING ${w1}`],
  ],
  [
    'a machine that is off',
    {
      evidence: { [w1]: { state: 'shut off', stateReason: 'destroyed', running: undefined } },
      probes: { [w1]: 'silent' },
    },
    [`MACHINE_OFF ${w1}`],
  ],
  [
    'a machine that crashed',
    { evidence: { [w1]: { state: 'shut off', stateReason: 'crashed', running: undefined } } },
    [`MACHINE_CRASHED ${w1}`],
  ],
  [
    'a machine paused by somebody',
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
    'an agent without channel',
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
    'an empty drive',
    { evidence: { [w1]: { running: { ...running(w1), seed: '' } } } },
    [`SEED_MISSING ${w1}`],
  ],
  [
    'a seed that is gone',
    { evidence: { [w1]: { seedLabel: undefined } }, probes: { [w1]: 'silent' } },
    [`SEED_MISSING ${w1}`],
  ],
  [
    'a seed with another label',
    { evidence: { [w1]: { seedLabel: 'seed' } } },
    [`SEED_LABEL_WRONG ${w1}`],
  ],
  [
    'the seed of another machine',
    {
      host: {
        seeds: new Map(
          [...host.seeds].map(([path, mark]) => [path, mark && { ...mark, node: 'home-cp1' }]),
        ),
      },
    },
    ['SEED_OF_ANOTHER home-cp2', 'SEED_OF_ANOTHER home-cp3', `SEED_OF_ANOTHER ${w1}`],
  ],
  [
    'a processor below the level',
    {
      evidence: {
        [w1]: { console: boot('x86_64 microarchitecture level 2 or higher is required, halting') },
      },
      probes: { [w1]: 'silent' },
    },
    [`CPU_LEVEL_TOO_LOW ${w1}`],
  ],
  [
    'a disk without a system',
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
    'boots given up twice',
    {
      evidence: { [w1]: { console: [...gaveUp, ...gaveUp, ...boot()] } },
      talos: { [w1]: starting },
    },
    [`BOOT_LOOP ${w1}`],
  ],
  [
    'an address that another has, too',
    { evidence: { [w1]: { answering: ['52:54:00:99:99:99', running(w1).mac] } } },
    [`ADDRESS_TAKEN ${w1}`],
  ],
  ['a config of other secrets', { probes: { [w1]: 'foreign' } }, [`NODE_FOREIGN ${w1}`]],
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
    'a gateway that nobody is',
    { network: { gatewayAnswers: false } },
    ['GATEWAY_SILENT root@kvm1'],
  ],
  ['other name servers', { talos: { [w1]: { resolvers: ['8.8.8.8'] } } }, [`RESOLVER_WRONG ${w1}`]],
  ['a machine without config', { probes: { [w1]: 'maintenance' } }, [`NO_CONFIG ${w1}`]],
  ['a clock that is ahead', { talos: { [w1]: { clockAheadS: 3600 } } }, [`CLOCK_SKEWED ${w1}`]],
  ['a clock that is behind', { talos: { [w1]: { clockAheadS: -90 } } }, [`CLOCK_SKEWED ${w1}`]],
  [
    'an image that does not come',
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
    'a kubelet of another CA',
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
    'a member of etcd that was stopped',
    { talos: { 'home-cp3': { services: [service('etcd', 'Finished')] } } },
    ['ETCD_STOPPED home-cp3'],
  ],
  [
    'two members that were stopped',
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
    'what Talos itself finds',
    {
      talos: { [w1]: { diagnostics: ['host and Kubernetes pod/service CIDR addresses overlap'] } },
    },
    [`TALOS_COMPLAINS ${w1}`],
  ],
  [
    'an etcd that was begun twice',
    {
      etcd: {
        members: [{ id: 'id-home-cp1', name: 'home-cp1', isLearner: false }],
        status: cluster.controlPlanes.slice(0, 2).map((node) => member(node, `id-${node.name}`)),
      },
    },
    ['ETCD_BOOTSTRAPPED_TWICE'],
  ],
  [
    'a member that is no control plane',
    { etcd: { members: [{ id: 'x', name: 'home-old', isLearner: false }] } },
    ['ETCD_MEMBER_MISMATCH'],
  ],
  ['an alarm', { etcd: { alarms: [{ member: 'id-home-cp1', alarm: 'NOSPACE' }] } }, ['ETCD_ALARM']],
  [
    'an API that does not know us',
    {
      api: { apiServers: new Map([['home-cp1', { ok: false, reason: 'HTTP 401', final: true }]]) },
    },
    ['API_NOT_OURS home-cp1'],
  ],
  [
    'an API port that is blocked',
    { api: { apiServers: new Map([['home-cp1', down('no answer within 5 s')]]) } },
    ['API_PORT_BLOCKED home-cp1'],
  ],
  [
    'a shared address that nobody has',
    { talos: { 'home-cp1': { addresses: ['10.0.0.70'] } } },
    ['VIP_UNHELD'],
  ],
  [
    'an access file that has expired',
    {
      more: {
        access: up([
          { name: 'kubeconfig', path: 'k', expires: '2020-01-01T00:00:00Z', problem: undefined },
        ]),
      },
    },
    ['ACCESS_EXPIRED'],
  ],
  ['a full disk', { talos: { [w1]: { disk: { sizeGb: 10, usedGb: 9.9 } } } }, [`DISK_FULL ${w1}`]],
  [
    'a pool that is stopped',
    { host: { poolFault: new Problem('POOL_INACTIVE', 'the pool default is not active') } },
    ['POOL_INACTIVE root@kvm1'],
  ],
  [
    'a machine whose guest crashed and stays there to be looked at',
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
    'a service of Talos itself that was ended',
    { talos: { [w1]: { services: [service('cri', 'Finished', '?', 'Service finished')] } } },
    [`SERVICE_FAILED ${w1}`],
  ],
  [
    'an install disk that the machine does not have',
    { talos: { [w1]: { diskPaths: ['/dev/sda', '/dev/disk/by-id/x'] } } },
    [`INSTALL_DISK_WRONG ${w1}`],
  ],
  [
    'the machine config of other settings',
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
    'control planes that are off',
    {
      evidence: { 'home-cp2': isOff, 'home-cp3': isOff },
      probes: { 'home-cp2': 'silent', 'home-cp3': 'silent' },
      etcd: { members: [], status: noLeader('home-cp1') },
    },
    ['MACHINE_OFF home-cp2', 'MACHINE_OFF home-cp3', 'ETCD_NO_QUORUM'],
  ],
  [
    'control planes that were undefined, and that an etcd misses',
    {
      host: { domains: host.domains.filter(({ name }) => !/cp[23]$/.test(name)) },
      probes: { 'home-cp2': 'silent', 'home-cp3': 'silent' },
      etcd: { members: [], status: noLeader('home-cp1') },
    },
    ['MACHINE_MISSING home-cp2', 'MACHINE_MISSING home-cp3', 'ETCD_NO_QUORUM'],
  ],
]
for (const [title, parts, expected] of faults)
  test(`${title} is named, with what shows it and what mends it`, () => {
    const { diagnoses } = findCauses(cluster, seenWith(parts))
    assert.equal(codes(parts), expected)
    for (const { evidence, remedy, cause, code } of diagnoses) {
      assert.ok(evidence.length > 0, `${code} shows nothing`)
      assert.ok(remedy.length > 0, `${code} mends nothing`)
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
test('an image of kube-system that does not come is named with its pod', () => {
  assert.equal(codes({ api: { pods: up([pod]) } }), [`POD_IMAGE_PULL_FAILS ${w1}`])
})

test('a machine that registered under another name is named', () => {
  const named = [
    {
      metadata: { name: 'talos-abc' },
      status: { addresses: [{ type: 'InternalIP', address: '10.0.0.80' }] },
    },
  ]
  assert.equal(codes({ api: { nodes: up(named) } }), [`KUBELET_NAME ${w1}`])
})

test('a node that no machine of the settings stands for is named once it is not Ready', () => {
  const listed = (status: string) => ({
    metadata: { name: 'home-w9' },
    status: { conditions: [{ type: 'Ready', status, message: 'Kubelet stopped' }] },
  })
  const parts = (status: string): Parts => ({ api: { nodes: up([listed(status)]) } })
  assert.equal(codes(parts('True')), [])
  const [found] = findCauses(cluster, seenWith(parts('Unknown'))).diagnoses
  assert.is(found?.code, 'NODE_LEFT_BEHIND')
  assert.equal(found?.evidence, ['kubectl get node home-w9: Kubelet stopped'])
  assert.match(found?.remedy.join('\n') ?? '', /delete node home-w9$/m)
})

const slow: [string, Parts][] = [
  [
    'a machine that comes up while it is looked at',
    { probes: { [w1]: 'silent' }, more: { justUp: new Set([w1]) } },
  ],
  [
    'a machine that boots',
    { probes: { [w1]: 'silent' }, evidence: { [w1]: { opens: false, answering: [] } } },
  ],
  [
    'one whose services start',
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
    'an agent that waits for its turn, with a channel',
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
    'an API server that starts',
    {
      talos: { 'home-cp1': starting },
      api: { apiServers: new Map([['home-cp1', down('connection refused')]]) },
    },
  ],
  [
    'a machine that gave one boot up and begins anew',
    { evidence: { [w1]: { console: [...gaveUp, ...boot()] } }, talos: { [w1]: starting } },
  ],
  [
    'old trouble on the console of a machine that is well',
    { evidence: { [w1]: { console: [...gaveUp, ...gaveUp, ...booted] } } },
  ],
  [
    'two boots given up with a good one after them',
    {
      evidence: { [w1]: { console: [...gaveUp, ...gaveUp, ...booted, ...boot()] } },
      talos: { [w1]: starting },
    },
  ],
  [
    'two boots given up, when the last one was good and the machine is not ready yet',
    {
      evidence: { [w1]: { console: [...gaveUp, ...gaveUp, ...booted] } },
      talos: { [w1]: starting },
    },
  ],
  [
    'a seed that we may not read',
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
    'an extension that has done its work',
    { talos: { [w1]: { services: [service('ext-once', 'Finished', '?', 'Service finished')] } } },
  ],
  ...['rebooting', 'shutting down', 'upgrading', 'resetting'].map((stage): [string, Parts] => [
    `services that end while the machine is ${stage}`,
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
    'what the kubelet says of the images of pods',
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
    'control planes that are still to be made',
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
    'an election',
    {
      etcd: {
        status: cluster.controlPlanes.map((node, index) =>
          member(node, index === 0 ? 'id-home-cp1' : 'id-home-cp2'),
        ),
      },
    },
  ],
  [
    'a member that is about to join',
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
    'a member that still learns',
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
  ['a control plane that does not say its addresses', { talos: { 'home-cp1': { addresses: [] } } }],
  [
    'an API server that answers late',
    {
      api: { apiServers: new Map([['home-cp1', down('no answer within 5 s')]]) },
      more: { apiOpens: new Set(['home-cp1']) },
    },
  ],
  [
    'an API server that starts again on a machine that is ready',
    {
      api: { apiServers: new Map([['home-cp1', down('connection refused')]]) },
      evidence: { 'home-cp1': { opensApi: false } },
    },
  ],
  ['disks that are not said', { talos: { [w1]: { diskPaths: [] } } }],
  ['a clock a few seconds off', { talos: { [w1]: { clockAheadS: 20 } } }],
  [
    'Kubernetes that does not answer yet',
    { api: { nodes: down('no API server is ready'), apiServers: new Map() } },
  ],
]
for (const [title, parts] of slow)
  test(`no fault is made of ${title}`, () => {
    assert.equal(
      codes(parts).filter((code) => !code.startsWith('MACHINE_MISSING')),
      [],
    )
  })

for (const [words, why] of [
  ['dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host', 'a name server does not answer'],
  ['proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused', 'the proxy refuses'],
  ['tls: failed to verify certificate: x509: unknown authority', 'that is not trusted'],
  ['unexpected status: 404 Not Found', 'the registry does not have it'],
  ['dial tcp 10.0.0.9:443: i/o timeout', 'the registry does not answer'],
] as const)
  test(`an image that does not come with "${words}": ${why}`, () => {
    const [found] = findCauses(cluster, seenWith(kubeletPulls(words))).diagnoses
    assert.is(found?.code, 'IMAGE_PULL_FAILS')
    assert.match(found?.cause ?? '', why)
  })

test('what is typed on a KVM host comes after a line that says so', () => {
  for (const [title, parts] of faults)
    for (const { code, remedy } of findCauses(cluster, seenWith(parts)).diagnoses)
      remedy.forEach((line, index) => {
        if (!/\bvirsh (?!-c)/.test(line)) return
        assert.match(
          remedy.slice(0, index).join('\n'),
          /(?:^|\n)# on root@kvm1$/,
          `${title}: ${code}`,
        )
      })
})

for (const [title, parts, expected] of [
  [
    'a rollout that goes on',
    { api: { expectedWorkloads: ['coredns'] } },
    'kube-system to be rolled out: coredns is not there yet',
  ],
  [
    'a machine that is silent',
    { probes: { [w1]: 'silent' }, more: { justUp: new Set([w1]) } },
    `${w1}: 10.0.0.80 does not answer; it may still be booting`,
  ],
  [
    'an endpoint that does not answer',
    { api: { endpoint: down('connection refused') } },
    `${cluster.endpoint} to answer: connection refused`,
  ],
  [
    'a control plane that is no member of etcd',
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
  test(`what health waits for is never "nothing is wrong": ${title}`, () => {
    const findings = findCauses(cluster, seenWith(parts))
    assert.equal(findings.diagnoses, [])
    assert.is(findings.unmet[0], expected)
  })

test('what is not explained is said, and is not "nothing is wrong"', () => {
  const findings = findCauses(
    cluster,
    seenWith({ more: { findings: down('no answer within 9 s') } }),
  )
  assert.equal(findings.unmet, ['Talos was not asked to the end: no answer within 9 s'])
  assert.match(renderFindings(cluster, findings), 'Nothing known explains this')
})

test('the cause furthest upstream is on top, with evidence and remedy below it', () => {
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
  const text = renderFindings(cluster, findCauses(cluster, seenWith(parts)))
  assert.match(text, /^1\. POOL_FULL on root@kvm1: the pool default on root@kvm1 has 0 MiB left/)
  assert.match(text, /\n {5}seen: virsh domstate home-w1: paused \(I\/O error\)\n/)
  assert.match(text, /\n {5}try: CLUSTER=home npx nx run cluster:start\n/)
  const json = findingsAsJson(cluster, findCauses(cluster, seenWith(parts)))
  assert.equal(Object.keys(json), ['cluster', 'diagnoses', 'unmet'])
})

test('a console falls into its boots', () => {
  assert.equal(
    bootsOf(['a', ...boot('b'), ...boot('c')]).map((lines) => lines.at(-1)),
    ['a', 'b', 'c'],
  )
  assert.equal(bootsOf([]), [])
})

test('a quiet kernel shows a new boot by its clock', () => {
  const quiet = ['[    7.1] a', '[    7.0] b', 'c', '[   45.9] d', 'firmware', '[    6.9] e', 'f']
  assert.equal(
    bootsOf(quiet).map((lines) => lines.at(-1)),
    ['firmware', 'f'],
  )
  const gaveUp = [
    '[    7.1] loading',
    '[   10.9] [talos] boot sequence failed: mounting EPHEMERAL: invalid argument',
  ]
  const console = [...booted, ...gaveUp, ...gaveUp]
  assert.equal(codes({ evidence: { 'home-w1': { console } }, probes: { 'home-w1': 'silent' } }), [
    'BOOT_LOOP home-w1',
  ])
})

test('every diagnosis has its heading in docs/troubleshooting/diagnosis.md, and no other has', () => {
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
