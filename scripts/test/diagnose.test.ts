import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Answer, KubernetesFindings, TalosEvidence, TalosFindings } from '@talosmith/bootstrap'
import { projectRoot, type Node } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import {
  describeMachine,
  type HostEvidence,
  type MachineEvidence,
  type ObservedHost,
} from '@talosmith/vm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { seenExactly } from '../../packages/vm/test/seen.ts'
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
    seedLabel: 'cidata',
    console: booted,
    answering: [node.mac],
    elsewhere: [],
    opens: true,
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
    addresses: [node.address],
    gateways: ['10.0.0.1'],
    resolvers: [...cluster.settings.NETWORK_NAMESERVERS],
    clockAheadS: 0,
    timeSynced: true,
    memoryMib: node.memoryMib,
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
          },
        })),
      ),
      pods: up([]),
      ...parts.api,
    }),
    plans: up({ plans: new Map() }),
    justUp: new Set(),
    talos: up({ machines: new Map(), etcd: up([]), vipHolder: up('home-cp1') }),
    kubernetes: down('not asked'),
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

const faults: [string, Parts, string[]][] = [
  [
    'a host out of reach',
    { more: { hosts: [down('no route')], evidence: [down('no route')] } },
    ['HOST_SILENT qemu:///system'],
  ],
  ['a full pool', { host: { poolFreeBytes: 0 } }, ['POOL_OUT_OF_SPACE root@kvm1']],
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
    ['POOL_OUT_OF_SPACE root@kvm1', `PAUSED_BY_DISK ${w1}`],
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
    ['UEFI_MISSING root@kvm1'],
  ],
  [
    'an agent without channel',
    {
      evidence: { [w1]: { running: { ...running(w1), guestAgent: false } } },
      talos: { [w1]: { ...starting, services: [waitingAgent] } },
    },
    [`AGENT_WITHOUT_CHANNEL ${w1}`],
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
  ['a config of other secrets', { probes: { [w1]: 'foreign' } }, [`FOREIGN_CONFIG ${w1}`]],
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
            service('kubelet', 'Running', 'Fail', 'x', [
              'x509: certificate signed by unknown authority',
            ]),
          ],
        },
      },
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
    { etcd: { status: cluster.controlPlanes.map((node) => member(node, `id-${node.name}`)) } },
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
    { api: { apiServers: new Map([['home-cp1', down('no answer within 4 s')]]) } },
    ['API_PORT_BLOCKED home-cp1'],
  ],
  [
    'a shared address that nobody has',
    { more: { talos: up({ machines: new Map(), etcd: up([]), vipHolder: up(undefined) }) } },
    ['VIP_UNHELD'],
  ],
  [
    'an access file that has expired',
    {
      more: {
        access: up([
          { name: 'kubeconfig', path: 'k', expires: '2020-01-01T00:00:00Z', fault: undefined },
        ]),
      },
    },
    ['ACCESS_EXPIRED'],
  ],
  [
    'a full disk',
    {
      more: {
        talos: up({
          machines: new Map([
            [
              w1,
              {
                stage: 'running',
                ready: true,
                version: 'v',
                schematic: 's',
                disk: { sizeGb: 10, usedGb: 9.9 },
                reason: undefined,
              },
            ],
          ]),
          etcd: up([]),
          vipHolder: up('home-cp1'),
        }),
      },
    },
    [`DISK_FULL ${w1}`],
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
  ['a clock a few seconds off', { talos: { [w1]: { clockAheadS: 20 } } }],
  [
    'Kubernetes that does not answer yet',
    { api: { nodes: down('no API server is ready'), apiServers: new Map() } },
  ],
]
for (const [title, parts] of slow)
  test(`no fault is made of ${title}`, () => {
    assert.equal(codes(parts), [])
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
    'POOL_OUT_OF_SPACE root@kvm1',
    `PAUSED_BY_DISK ${w1}`,
    'ETCD_STOPPED home-cp3',
  ])
  const text = renderFindings(cluster, findCauses(cluster, seenWith(parts)))
  assert.match(text, /^1\. POOL_OUT_OF_SPACE on root@kvm1: the storage pool default is full/)
  assert.match(text, /\n {5}seen: virsh domstate home-w1: paused \(I\/O error\)\n/)
  assert.match(text, /\n {5}try: CLUSTER=home npx nx run vm:start\n/)
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

test('every diagnosis has its heading in docs/troubleshooting/diagnosis.md, and no other has', () => {
  const folder = join(projectRoot, 'scripts', 'diagnose', 'rules')
  const used = readdirSync(folder)
    .flatMap((name) => [
      ...readFileSync(join(folder, name), 'utf8').matchAll(
        /(?<!settingOf\(node, )'([A-Z]+(?:_[A-Z]+)+)'/g,
      ),
    ])
    .map(([, code]) => code)
  const text = readFileSync(join(projectRoot, 'docs', 'troubleshooting', 'diagnosis.md'), 'utf8')
  const documented = [...text.matchAll(/^## (\S+)$/gm)].map(([, code]) => code)
  assert.equal([...new Set(used)].sort(), [...documented].sort())
  assert.ok(documented.length >= 40, `${documented.length} diagnoses`)
})

test.run()
