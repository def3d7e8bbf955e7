import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import type { NodeObject } from '@talosmith/clients/kubernetes'
import {
  isUnrecoverable,
  judgeHealth,
  nodesLeftBehind,
  type HealthFacts,
} from '../../src/health/health.ts'
import type { MachineStatus, MachineStatuses } from '@talosmith/clients/talos'
import * as assert from 'uvu/assert'
import { wellFacts } from '../support/facts.ts'

const cluster = testCluster({
  TALOS_VERSION: 'v1.13.9',
  KUBERNETES_VERSION: 'v1.36.3',
  WORKER_COUNT: '1',
})
const ready: MachineStatus = { stage: 'running', status: { ready: true, unmetConditions: null } }
const statuses = (all: Record<string, MachineStatus>): MachineStatuses =>
  new Map(
    cluster.nodes.map(({ name }) => {
      const value = all[name]
      const silent = { ok: false, reason: 'no answer within 20 s' } as const
      return [name, value === undefined ? silent : { ok: true, value }]
    }),
  )
const answered = { ok: true, value: 'ok' } as const
const kubernetesNode = (name: string, address: string, over = {}): NodeObject => ({
  metadata: { name },
  status: {
    conditions: [{ type: 'Ready', status: 'True' }],
    addresses: [
      { type: 'InternalIP', address },
      { type: 'Hostname', address: name },
    ],
    nodeInfo: { kubeletVersion: 'v1.36.3' },
    ...over,
  },
})
const nodes = cluster.nodes.map(({ name, address }) => kubernetesNode(name, address))
const deployment = {
  metadata: { name: 'coredns', generation: 1 },
  spec: { replicas: 2 },
  status: { observedGeneration: 1, updatedReplicas: 2, availableReplicas: 2 },
}
const withoutCni = {
  ...{ type: 'Ready', status: 'False' },
  message:
    'container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized',
}
const healthy: HealthFacts = {
  probes: new Map(cluster.nodes.map(({ name }) => [name, { kind: 'ours' }])),
  versions: new Map(cluster.nodes.map(({ name }) => [name, 'v1.13.9'])),
  machines: statuses(Object.fromEntries(cluster.nodes.map(({ name }) => [name, ready]))),
  withoutChannel: new Set(),
  etcd: wellFacts(cluster).etcd,
  apiServers: new Map([['home-cp1', answered]]),
  endpoint: answered,
  vip: undefined,
  nodes: { ok: true, value: nodes },
  leftBehind: [],
  workloads: { ok: true, value: [deployment] },
  expectedWorkloads: ['coredns'],
}
const unmet = (over: Partial<HealthFacts>) =>
  judgeHealth(cluster, { ...healthy, ...over }).filter(({ reason }) => reason !== undefined)

test('a healthy cluster meets every condition', () => {
  assert.equal(unmet({}), [])
  assert.equal(
    judgeHealth(cluster, healthy).map(({ fact }) => fact),
    [
      'Talos to answer on all 2 machines',
      'all 2 machines to run Talos v1.13.9',
      'every clock to be in sync',
      'every network to be up',
      "Talos' services to be healthy",
      'every kubelet to be healthy',
      'the static pods to be ready',
      'every boot to end',
      'etcd to have all control planes as members',
      'every API server to be ready',
      'https://10.0.0.70:6443 to answer',
      'every Kubernetes node to be Ready',
      'all 2 machines to be ready',
      'kube-system to be rolled out',
    ],
  )
})

const booting: MachineStatus = {
  stage: 'booting',
  status: {
    ready: false,
    unmetConditions: [{ name: 'services', reason: 'ext-qemu-guest-agent not running' }],
  },
}
const noSuch = { ok: false, reason: 'connection refused' } as const
const withNode = (name: string, over: object): Partial<HealthFacts> => ({
  nodes: {
    ok: true,
    value: nodes.map((node) =>
      node.metadata.name === name ? kubernetesNode(name, '10.0.0.80', over) : node,
    ),
  },
})
const allWithoutCni: Partial<HealthFacts> = {
  nodes: {
    ok: true,
    value: cluster.nodes.map(({ name, address }) =>
      kubernetesNode(name, address, { conditions: [withoutCni] }),
    ),
  },
}
const rows: [string, Partial<HealthFacts>, RegExp, boolean][] = [
  [
    'a machine that is off',
    {
      probes: new Map([
        ['home-cp1', { kind: 'ours' }],
        ['home-w1', { kind: 'silent', reason: '10.0.0.80 does not answer' }],
      ]),
    },
    /^10\.0\.0\.80 does not answer$/,
    false,
  ],
  [
    'a machine without config',
    { probes: new Map([['home-cp1', { kind: 'maintenance' }]]) },
    /^home-cp1 has no machine config$/,
    true,
  ],
  [
    'a machine of another CA',
    {
      probes: new Map([
        ['home-cp1', { kind: 'ours' }],
        ['home-w1', { kind: 'foreign', reason: '10.0.0.80 asks for a certificate of another CA' }],
      ]),
    },
    /^home-w1: 10\.0\.0\.80 asks for a certificate of another CA$/,
    true,
  ],
  [
    'an address that a machine has which is no Talos',
    { probes: new Map([['home-cp1', { kind: 'silent', reason: 'no TLS', isStranger: true }]]) },
    /^home-cp1: no TLS$/,
    true,
  ],
  [
    'another version of Talos',
    {
      versions: new Map([
        ['home-cp1', 'v1.13.9'],
        ['home-w1', 'v1.13.8'],
      ]),
    },
    /^home-w1 runs Talos v1\.13\.8$/,
    true,
  ],
  [
    'a service that does not start',
    {
      machines: statuses({ 'home-cp1': ready, 'home-w1': booting }),
    },
    /^home-w1: ext-qemu-guest-agent not running$/,
    false,
  ],
  [
    'a machine that does not report its status',
    { machines: statuses({ 'home-cp1': ready }) },
    /^home-w1 does not report its status: no answer within 20 s$/,
    false,
  ],
  [
    'a machine that is not ready',
    {
      machines: statuses({
        'home-cp1': { stage: 'running', status: { ready: false, unmetConditions: null } },
        'home-w1': ready,
      }),
    },
    /^home-cp1: it is not ready$/,
    false,
  ],
  [
    'an etcd that does not answer',
    { etcd: { ...healthy.etcd, members: [], memberSilence: 'connection refused' } },
    /^etcd: does not list its members: connection refused$/,
    false,
  ],
  [
    'an alarm of etcd, by the errors of its member',
    {
      etcd: {
        ...healthy.etcd,
        status: healthy.etcd.status.map((own) => ({ ...own, errors: 'alarm:NOSPACE' })),
      },
    },
    /^home-cp1: its etcd has errors: alarm:NOSPACE$/,
    false,
  ],
  [
    'a member of etcd that is no control plane',
    {
      etcd: {
        ...healthy.etcd,
        members: [...healthy.etcd.members, { id: 'x', name: 'old', isLearner: false }],
      },
    },
    /^old: is a member of etcd, but no control plane of the settings$/,
    false,
  ],
  [
    'an API server that is not ready',
    { apiServers: new Map([['home-cp1', { ok: false, reason: 'not ready: etcd' }]]) },
    /^home-cp1: not ready: etcd$/,
    false,
  ],
  ['an endpoint without an answer', { endpoint: noSuch }, /^connection refused$/, false],
  [
    'an endpoint of another cluster',
    { endpoint: { ...noSuch, final: true } },
    /^connection refused$/,
    true,
  ],
  [
    'a node that has not registered',
    { nodes: { ok: true, value: nodes.slice(0, 1) } },
    /^home-w1 has not registered$/,
    false,
  ],
  [
    'a node that is not Ready and that the settings do not have',
    { leftBehind: [kubernetesNode('home-w2', '10.0.0.81')] },
    /^home-w2 is not Ready, and the settings have no such machine .*kubectl delete node home-w2/,
    true,
  ],
  [
    'a node that is not Ready',
    withNode('home-w1', { conditions: [{ type: 'Ready', status: 'False', message: 'no CNI' }] }),
    /^home-w1 is not Ready: no CNI$/,
    false,
  ],
  [
    'nodes without the CNI that their user brings',
    allWithoutCni,
    /^home-cp1 is not Ready: no CNI is installed.* install one with .*\/kubeconfig/,
    true,
  ],
  [
    'a new node whose CNI is still starting, as its fellow is Ready',
    withNode('home-w1', { conditions: [withoutCni] }),
    /^home-w1 is not Ready: .*cni plugin not initialized/,
    false,
  ],
  [
    'a node without a CNI that is on its way',
    {
      ...allWithoutCni,
      workloads: {
        ok: true,
        value: [
          deployment,
          { metadata: { name: 'cilium' }, status: { desiredNumberScheduled: 2 } },
        ],
      },
    },
    /^home-cp1 is not Ready: the CNI is not running yet \(kubectl -n kube-system get pods\)$/,
    false,
  ],
  [
    'a node without a CNI, while the workloads cannot be read',
    { ...allWithoutCni, workloads: { ok: false, reason: 'timeout' } },
    /^home-cp1 is not Ready: the CNI is not running yet/,
    false,
  ],
  [
    'a node without a CNI that manifests of the config may bring',
    { ...allWithoutCni, bringsManifests: true },
    /^home-cp1 is not Ready: no CNI is running yet; Talos applies .*talosctl -n 10\.0\.0\.70 logs/,
    false,
  ],
  [
    "a node that still waits for Talos' own CNI",
    {
      ...withNode('home-w1', { conditions: [withoutCni] }),
      expectedWorkloads: ['coredns', 'kube-flannel'],
    },
    /^home-w1 is not Ready: container runtime network not ready/,
    false,
  ],
  [
    'a node with another address',
    withNode('home-w1', { addresses: [{ type: 'InternalIP', address: '10.0.0.99' }] }),
    /^home-w1 registered with 10\.0\.0\.99 instead of 10\.0\.0\.80$/,
    false,
  ],
  [
    'another version of Kubernetes',
    withNode('home-w1', { nodeInfo: { kubeletVersion: 'v1.36.2' } }),
    /^home-w1 runs Kubernetes v1\.36\.2, not v1\.36\.3: .*cluster:upgrade .*KUBERNETES_VERSION/,
    true,
  ],
  [
    'a rollout that goes on',
    {
      workloads: {
        ok: true,
        value: [{ ...deployment, status: { ...deployment.status, availableReplicas: 1 } }],
      },
    },
    /^coredns has 1 of 2 ready$/,
    false,
  ],
  [
    'a workload that is not there',
    { workloads: { ok: true, value: [] } },
    /^coredns is not there yet$/,
    false,
  ],
]
for (const [title, over, reason, final] of rows)
  test(`${title} is named${final ? ', and waiting for it is pointless' : ''}`, () => {
    const [condition] = unmet(over)
    assert.match(condition?.reason ?? 'all met', reason)
    assert.is(condition?.final, final)
  })

test('an unmet condition carries whom its reason names', () => {
  const silent = { kind: 'silent', reason: '10.0.0.80 does not answer' } as const
  const named: [Partial<HealthFacts>, string | undefined][] = [
    [{ probes: new Map([...healthy.probes, ['home-w1', silent]]) }, '10.0.0.80'],
    [{ probes: new Map([...healthy.probes, ['home-w1', { kind: 'maintenance' }]]) }, 'home-w1'],
    [{ machines: statuses({ 'home-cp1': ready, 'home-w1': booting }) }, 'home-w1'],
    [{ etcd: { ...healthy.etcd, members: [] } }, 'etcd'],
    [{ apiServers: new Map([['home-cp1', noSuch]]) }, 'home-cp1'],
    [{ nodes: { ok: true, value: nodes.slice(0, 1) } }, 'home-w1'],
    [{ endpoint: noSuch }, undefined],
    [{ workloads: { ok: true, value: [] } }, undefined],
  ]
  for (const [over, who] of named) assert.is(unmet(over)[0]?.who, who)
})

/** The conditions that a machine's status leaves unmet, with their reasons. */
const ofStatus = (
  stage: string,
  unmetConditions: [string, string][] = [],
  isReady = false,
): string[] =>
  unmet({
    machines: statuses({
      'home-cp1': ready,
      'home-w1': {
        stage,
        status: {
          ready: isReady,
          unmetConditions: unmetConditions.map(([name, reason]) => ({ name, reason })),
        },
      },
    }),
  }).map(({ fact, reason }) => `${fact}: ${reason}`)

test('each condition that Talos reports as unmet is a condition of its own', () => {
  const reported: [string, string][] = [
    ['time', 'time is not synced'],
    ['network', 'waiting on: address, hostname'],
    ['services', 'etcd not healthy, kubelet not running, trustd not running, kubelet not running'],
    ['staticPods', 'kube-system/kube-apiserver-home-w1 pending'],
    ['nodeReady', 'node "home-w1" is not ready'],
  ]
  assert.equal(ofStatus('running', reported), [
    'every clock to be in sync: home-w1: time is not synced',
    'every network to be up: home-w1: waiting on: address, hostname',
    "Talos' services to be healthy: home-w1: etcd not healthy, trustd not running",
    'every kubelet to be healthy: home-w1: kubelet not running',
    'the static pods to be ready: home-w1: kube-system/kube-apiserver-home-w1 pending, kubelet not running',
    'all 2 machines to be ready: home-w1: node "home-w1" is not ready',
  ])
})

test('what a Talos to come may add is not lost', () => {
  assert.equal(ofStatus('running', [['volumes', 'EPHEMERAL is missing']]), [
    'all 2 machines to be ready: home-w1: EPHEMERAL is missing',
  ])
})

test('a boot under way is a condition of its own', () => {
  assert.equal(ofStatus('booting', [], true), ['every boot to end: home-w1: it is booting'])
})

test('of a machine that installs nothing is known to be well: Talos does not look', () => {
  assert.is(ofStatus('installing', [], true).length, 7)
})

test('a VIP is a condition of its own, wherever the endpoint is', () => {
  const configured = testCluster({
    CONTROL_PLANE_COUNT: '3',
    CLUSTER_VIP: '10.0.0.60',
    CLUSTER_ENDPOINT: 'kube.example',
  })
  const of = (vip: HealthFacts['vip']) =>
    judgeHealth(configured, { ...healthy, vip }).find(
      ({ fact }) => fact === 'the VIP 10.0.0.60 to answer',
    )
  assert.is(of(answered)?.reason, undefined)
  assert.is(of(noSuch)?.reason, 'connection refused')
  assert.is(of(undefined)?.reason, 'not asked')
})

test("Talos' services are not worth waiting for if the guest agent has no channel", () => {
  const withoutChannel = new Set(['home-w1'])
  const [agent] = unmet({
    machines: statuses({ 'home-cp1': ready, 'home-w1': booting }),
    withoutChannel,
  })
  assert.is(agent?.fact, "Talos' services to be healthy")
  assert.ok(agent?.final)
  const unmetConditions = [{ name: 'services', reason: 'etcd not running, trustd not running' }]
  const other: MachineStatus = { stage: 'booting', status: { ready: false, unmetConditions } }
  const [found] = unmet({
    machines: statuses({ 'home-cp1': ready, 'home-w1': other }),
    withoutChannel,
  })
  assert.is(found?.reason, 'home-w1: etcd not running, trustd not running')
  assert.not(found?.final)
})

test('a boot that waits for a channel that is not there is not worth waiting for', () => {
  const booting: MachineStatus = {
    stage: 'booting',
    status: { ready: false, unmetConditions: null },
  }
  const machines = statuses({ 'home-cp1': ready, 'home-w1': booting })
  const [found] = unmet({ machines, withoutChannel: new Set(['home-w1']) })
  assert.match(found?.reason ?? '', "home-w1 waits for the guest agent's channel")
  assert.ok(found?.final)
  assert.not(unmet({ machines })[0]?.final)
})

for (const [title, unmetNow, forMs, expected] of [
  ['nothing that is final', [false, false], 60_000, false],
  ['something final among the rest, for a moment', [true, false], 4000, false],
  ['something final among the rest that lasts', [true, false], 20_000, true],
  ['nothing but what is final', [true], 0, true],
] as const)
  test(`${title} is ${expected ? '' : 'not '}the end of waiting`, () => {
    assert.is(
      isUnrecoverable(
        unmetNow.map((final) => ({ final })),
        forMs,
      ),
      expected,
    )
  })

const off = { conditions: [{ type: 'Ready', status: 'Unknown' }] }
const leftBehindRows: [string, readonly NodeObject[], string[]][] = [
  ['a node of a machine that is off', [kubernetesNode('home-w1', '10.0.0.80', off)], []],
  ['one of no machine that is Ready', [...nodes, kubernetesNode('pi', '10.0.0.9')], []],
  [
    'one of no machine that is not',
    [...nodes, kubernetesNode('home-w2', '10.0.0.81', off)],
    ['home-w2'],
  ],
  ['a machine under another name', [kubernetesNode('talos-a', '10.0.0.80', off)], []],
  [
    'a name that a machine had before its own',
    [...nodes, kubernetesNode('talos-a', '10.0.0.80', off)],
    ['talos-a'],
  ],
]
for (const [title, listed, expected] of leftBehindRows)
  test(`left behind: ${title}: ${expected.join() || 'no'}`, () =>
    assert.equal(
      nodesLeftBehind(cluster, listed).map(({ metadata }) => metadata.name),
      expected,
    ))

test('machines that a patch has given names of their own are healthy', () => {
  const own = cluster.nodes.map(({ address }, index) => kubernetesNode(`own-${index}`, address))
  const members = healthy.etcd.members.map((member, index) => ({
    ...{ ...member, name: `own-${index}` },
    addresses: [cluster.controlPlanes[index]?.address ?? ''],
  }))
  const etcd = { ...healthy.etcd, members }
  const conditions = judgeHealth(cluster, { ...healthy, etcd, nodes: { ok: true, value: own } })
  assert.equal(
    conditions.flatMap(({ reason }) => reason ?? []),
    [],
  )
})

test.run()
