import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TalosFacts } from '@talosmith/bootstrap'
import { hostFiles, Problem, projectRoot } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { describeMachine, type ObservedHost } from '@talosmith/vm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describeClusterStatus } from '../status/describe.ts'
import { gatherStatus, inTime, type Gathered } from '../status/gather.ts'
import { renderClusterStatus } from '../status/table.ts'

const cluster = testCluster({
  TALOS_VERSION: 'v1.13.9',
  KUBERNETES_VERSION: 'v1.36.3',
  CONTROL_PLANE_COUNT: '3',
  WORKER_COUNT: '1',
  CLUSTER_VIP: '10.0.0.60',
})
const now = new Date('2026-11-24T12:00:00Z')
const down = (reason: string) => ({ ok: false, reason }) as const
const files = hostFiles(cluster, '/pool')

/** The host with all machines, running, and one that is no longer in the settings. */
const host: ObservedHost = {
  host: 'root@kvm1',
  index: 0,
  files,
  identity: { clusterId: undefined, hasEvidence: true, hasRun: true, wasBootstrapped: false },
  poolProblem: undefined,
  domains: [...cluster.nodes, { ...cluster.nodes[3], name: 'home-w7' }].map((node) => {
    const own = { disk: files.disk({ name: node.name }), seed: files.seed({ name: node.name }) }
    const [first] = cluster.nodes
    if (first === undefined) throw new Error('no machines')
    return {
      name: node.name,
      uuid: '',
      owner: 'home',
      clusterId: undefined,
      strangerBecause: undefined,
      own,
      madeThrough: 'qemu:///system',
      diskNote: 'created',
      disks: [],
      attached: [],
      machine: describeMachine(cluster, { ...first, ...node }, own, 'kvm'),
      live: { state: 'running', memoryMib: 4096, cpu: 2 },
      autostart: true,
    }
  }),
  networks: {
    ...{ all: [], active: [], ranges: [], leases: [] },
    ...{
      address: undefined,
      bridge: undefined,
      forward: undefined,
      devices: [],
      reservations: new Map(),
    },
    dhcpIndexes: new Map(),
    ...{ forward: undefined, devices: [] },
  },
  kvmProblem: undefined,
  emulatorProblem: undefined,
  unknownChains: [],
  hasUefi: true,
  disks: new Map(
    ['home-cp1', 'home-cp2', 'home-cp3', 'home-w1', 'home-w7']
      .map((name) => files.disk({ name }))
      .map((path) => [path, { path, actualBytes: 0, qcow2: undefined }]),
  ),
  overlays: [],
  brokenChains: new Set(),
  gone: new Set(),
  seeds: new Map(),
  seedAddresses: new Map(),
  beside: [],
  leftovers: [],
  hasImage: true,
  directIo: true,
  hasKvmDevice: true,
  hasKvmFlag: true,
  missingTools: [],
  bridges: [],
  bridgeNetworks: [],
  hasSeedFolder: true,
  memoryFreeMib: 0,
  poolFreeBytes: 0,
  isPoolWritable: true,
  isSeedFolderWritable: true,
  poolError: undefined,
}
const facts: TalosFacts = {
  stage: 'running',
  ready: true,
  version: 'v1.13.9',
  schematic: cluster.schematic.id,
  disk: { sizeGb: 18.2, usedGb: 2.1 },
  reason: undefined,
}
const etcd = (index: number, leader = 1) => ({
  node: `10.0.0.${70 + index}`,
  id: `m${index}`,
  leader: `m${leader}`,
  isLearner: index === 2,
  raftIndex: 100,
  raftTerm: 2,
  errors: '',
})
const kubernetesNodes = cluster.nodes.map(({ name }) => ({
  metadata: { name },
  status: {
    conditions: [
      { type: 'Ready', status: name === 'home-w1' ? 'False' : 'True', message: 'no CNI' },
    ],
    nodeInfo: { kubeletVersion: 'v1.36.3' },
  },
}))
const whole: Gathered = {
  hosts: [{ ok: true, value: host }],
  talos: {
    ok: true,
    value: {
      machines: new Map(cluster.nodes.map(({ name }) => [name, facts])),
      etcd: { ok: true, value: [etcd(0), etcd(1), etcd(2)] },
      vipHolder: { ok: true, value: 'home-cp2' },
    },
  },
  kubernetes: {
    ok: true,
    value: {
      endpoint: { ok: true, value: undefined },
      nodes: { ok: true, value: kubernetesNodes },
    },
  },
  access: {
    ok: true,
    value: [
      { name: 'talosconfig', path: '/g/talosconfig', expires: undefined, problem: 'missing' },
      {
        name: 'kubeconfig',
        path: '/g/kubeconfig',
        expires: '2026-12-04T13:00:00.000Z',
        problem: 'expiring',
      },
    ],
  },
}
const nothing: Gathered = {
  hosts: [down('no route')],
  talos: down('no talosctl'),
  kubernetes: down('no answer within 8 s'),
  access: down('unreadable'),
}

test('every field of the JSON is documented, and every documented field is there', () => {
  const text = readFileSync(join(projectRoot, 'docs/status-json.md'), 'utf8')
  const documented = [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name = '']) => name)
  // An object's own line tells when it is null.
  const leaves = documented.filter((name) => !documented.some((one) => one.startsWith(`${name}.`)))
  const json: unknown = JSON.parse(
    JSON.stringify(describeClusterStatus(cluster, withSilence(), now)),
  )
  assert.equal(pathsOf(json).sort(), leaves.sort())
})

test('a node has what hosts, Talos, etcd and Kubernetes report about it', () => {
  const [first, leader, learner, worker] = describeClusterStatus(cluster, whole, now).nodes
  assert.equal(first, {
    name: 'home-cp1',
    role: 'controlplane',
    address: '10.0.0.70',
    vm: {
      host: 'root@kvm1',
      state: 'running',
      cpu: 2,
      memoryMib: 4096,
      diskGib: 0,
      writtenGib: 0,
    },
    talos: { stage: 'running', ready: true, version: 'v1.13.9', schematic: cluster.schematic.id },
    kubernetes: { version: 'v1.36.3', ready: true },
    etcd: { member: true, learner: false, leader: false },
    disk: { sizeGb: 18.2, usedGb: 2.1 },
    reasons: [],
  })
  assert.equal(leader?.etcd, { member: true, learner: false, leader: true })
  assert.equal(learner?.etcd, { member: true, learner: true, leader: false })
  assert.is(worker?.etcd, null)
  assert.equal(worker?.reasons, ['not Ready: no CNI'])
})

test('a machine that is no longer in the settings is left over, not a node', () => {
  const { nodes, leftOver } = describeClusterStatus(cluster, whole, now)
  assert.is(nodes.length, 4)
  assert.equal(leftOver, [{ name: 'home-w7', host: 'root@kvm1', state: 'running' }])
})

test('a machine that is off is not reported as one that boots', () => {
  const live = { state: 'shut off', memoryMib: undefined, cpu: undefined }
  const hosts = [
    { ok: true, value: { ...host, domains: host.domains.map((one) => ({ ...one, live })) } },
  ] as const
  const silent: TalosFacts = { ...facts, stage: undefined, reason: 'it may still be booting' }
  const machines = new Map(cluster.nodes.map(({ name }) => [name, silent]))
  const talos = {
    ok: true,
    value: { machines, etcd: down('no answer'), vipHolder: down('no answer') },
  } as const
  const { nodes } = describeClusterStatus(cluster, { ...nothing, hosts, talos }, now)
  assert.is(nodes[0]?.vm?.state, 'shut off')
  assert.equal(
    nodes.flatMap(({ reasons }) => reasons),
    [],
  )
})

test('when nothing answers, everything is null and every source has its reason', () => {
  const { nodes, unknown, endpoint, vip, access } = describeClusterStatus(cluster, nothing, now)
  for (const node of nodes)
    assert.equal(
      [node.vm, node.talos, node.kubernetes, node.etcd, node.disk],
      [null, null, null, null, null],
    )
  assert.equal(
    unknown.map(({ source, reason }) => `${source}: ${reason}`),
    [
      'hosts: no route',
      'talos: no talosctl',
      'kubernetes: no answer within 8 s',
      'access: unreadable',
    ],
  )
  assert.equal(endpoint.answers, false)
  assert.equal(vip, { address: '10.0.0.60', holder: null, reason: 'no talosctl' })
  assert.equal(access, [])
})

test('the VIP has a holder, or a reason for having none; a cluster without a VIP has null', () => {
  const { talos } = whole
  if (!talos.ok) throw new Error('talos')
  const address = '10.0.0.60'
  const free = { ...talos.value, vipHolder: { ok: true, value: undefined } } as const
  const unheld = { ...whole, talos: { ok: true, value: free } } as const
  const reason = 'no control plane has it'
  assert.equal(describeClusterStatus(cluster, whole, now).vip, {
    address,
    holder: 'home-cp2',
    reason: null,
  })
  assert.equal(describeClusterStatus(cluster, unheld, now).vip, { address, holder: null, reason })
  assert.match(
    renderClusterStatus(describeClusterStatus(cluster, unheld, now)),
    `${address}: ${reason}`,
  )
  assert.is(describeClusterStatus(testCluster(), whole, now).vip, null)
})

test('a machine that was not found is missing, but only if every host was observed', () => {
  const empty = { ok: true, value: { ...host, domains: [] } } as const
  const state = (hosts: Gathered['hosts']) =>
    describeClusterStatus(cluster, { ...whole, hosts }, now).nodes[0]?.vm?.state
  assert.is(state([empty]), 'missing')
  assert.is(state([empty, down('no route')]), undefined)
})

test('a control plane that reports no etcd member is none; one that does not answer is unknown', () => {
  const { talos } = whole
  if (!talos.ok) throw new Error('talos')
  const machines = new Map(talos.value.machines).set('home-cp3', {
    ...facts,
    stage: undefined,
    reason: 'off',
  })
  const value = { ...talos.value, machines, etcd: { ok: true, value: [etcd(1)] } } as const
  const { nodes } = describeClusterStatus(cluster, { ...whole, talos: { ok: true, value } }, now)
  assert.equal(nodes[0]?.etcd, { member: false, learner: false, leader: false })
  assert.is(nodes[2]?.etcd, null)
  assert.equal(nodes[2]?.reasons, ['off'])
})

test('nodes are known from a control plane while the endpoint does not answer', () => {
  const endpoint = down('connection refused')
  const nodes = { ok: true, value: kubernetesNodes } as const
  const status = describeClusterStatus(
    cluster,
    { ...whole, kubernetes: { ok: true, value: { endpoint, nodes } } },
    now,
  )
  assert.equal(status.endpoint.reason, 'connection refused')
  assert.is(status.nodes[0]?.kubernetes?.ready, true)
  assert.equal(status.unknown, [])
})

test('the days of a certificate are whole ones', () => {
  const { access } = describeClusterStatus(cluster, whole, now)
  assert.equal(
    access.map(({ daysLeft }) => daysLeft),
    [null, 10],
  )
})

test('the table shows every machine, then reasons, then the facts of the cluster', () => {
  const lines = renderClusterStatus(describeClusterStatus(cluster, whole, now)).split('\n')
  assert.match(
    lines[0] ?? '',
    /^NODE +ROLE +ADDRESS +VM +TALOS +VERSION +SCHEMATIC +KUBERNETES +READY +ETCD +DISK$/,
  )
  assert.match(
    lines[2] ?? '',
    /^home-cp2 +controlplane +10\.0\.0\.71 +running +running +v1\.13\.9 +\w{12} +v1\.36\.3 +yes +leader +2\.1 of 18\.2 GB$/,
  )
  const text = lines.join('\n')
  for (const part of [
    'home-w1: not Ready: no CNI',
    'home-w7 on root@kvm1: running, no longer in the settings',
    'https://10.0.0.60:6443 answers',
    '10.0.0.60 on home-cp2',
    cluster.schematic.id,
    cluster.image.url,
    '/g/talosconfig missing',
    '/g/kubeconfig until 2026-12-04 (10 days), expiring',
  ])
    assert.ok(text.includes(part), part)
})

test('the table of a cluster that does not answer shows dashes and reasons', () => {
  const text = renderClusterStatus(describeClusterStatus(cluster, nothing, now))
  assert.match(text, /^home-cp1 +controlplane +10\.0\.0\.70 +- +- +- +- +- +- +- +-$/m)
  assert.match(text, 'hosts: no route')
})

test('an answer that takes too long is replaced by the timeout', async () => {
  const answer = await inTime(() => new Promise(() => undefined), 20)
  assert.equal(answer, { ok: false, reason: 'no answer within 1 s' })
})

test('a question that comes after the deadline still has a second', async () => {
  const late = async (): Promise<string> => (await sleep(200), 'late')
  assert.equal(await inTime(late, -4000), { ok: true, value: 'late' })
})

test('the deadline counts from the first question, not from the start of the program', async () => {
  const { now } = performance
  performance.now = () => now.call(performance) + 60_000
  try {
    const { hosts } = await gatherStatus(cluster, () => [failsLater()])
    assert.equal(
      hosts.map((host) => !host.ok && host.reason),
      ['SSH_TIMEOUT: kvm1 does not answer'],
    )
  } finally {
    performance.now = now
  }
})

async function failsLater(): Promise<never> {
  await sleep(1500)
  throw new Problem('SSH_TIMEOUT', 'kvm1 does not answer')
}

test('a Problem becomes a reason with its code', async () => {
  const problem = new Problem('SSH_TIMEOUT', 'kvm1 does not answer', { because: 'no route' })
  assert.equal(await inTime(() => Promise.reject(problem), 1000), {
    ok: false,
    reason: 'SSH_TIMEOUT: kvm1 does not answer: no route',
    problem,
  })
})

/** A cluster with something in every list. */
function withSilence(): Gathered {
  return { ...whole, hosts: [...whole.hosts, down('no route')] }
}

/** `nodes[].vm.state` and the like: every field of a value that holds no further fields. */
function pathsOf(value: unknown, before = ''): string[] {
  const fields = Array.isArray(value)
    ? value
        .flatMap((item: unknown) => fieldsOf(item))
        .map(([name, inner]) => [`[].${name}`, inner] as const)
    : fieldsOf(value).map(([name, inner]) => [before === '' ? name : `.${name}`, inner] as const)
  if (fields.length === 0) return [before]
  return [...new Set(fields.flatMap(([name, inner]) => pathsOf(inner, before + name)))].filter(
    (path, _, all) => !all.some((one) => one.startsWith(`${path}.`)),
  )
}

function fieldsOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.entries(value)
    : []
}

test('a host that is silent is named, and its machines are unknown, whatever the settings assign', () => {
  const two = testCluster({
    LIBVIRT_URI: 'gone=qemu+ssh://root@kvm0/system,here=qemu+ssh://root@kvm1/system',
    CONTROL_PLANE_COUNT: '3',
    WORKER_COUNT: '1',
  })
  const [, ...domains] = host.domains
  const here = { ...host, index: 1, domains: domains.slice(0, 2) }
  const hosts = [down('no answer within 7 s'), { ok: true as const, value: here }]
  const { nodes, unknown } = describeClusterStatus(two, { ...whole, hosts }, now)
  assert.equal(
    nodes.map(({ name, vm }) => `${name} ${vm?.host}`),
    ['home-cp1 undefined', 'home-cp2 root@kvm1', 'home-cp3 root@kvm1', 'home-w1 undefined'],
  )
  assert.equal(
    unknown.filter(({ source }) => source === 'hosts'),
    [{ source: 'hosts', reason: 'gone (qemu+ssh://root@kvm0/system): no answer within 7 s' }],
  )
})

test('what hides the ID of the cluster is told once, and the machines are shown', () => {
  const unreadable = new Problem('FILE_UNREADABLE', 'could not read a backup')
  const identity = { ...host.identity, unreadable }
  const value = { ...host, identity }
  const hosts = [
    { ok: true as const, value },
    { ok: true as const, value: { ...value, index: 1, domains: [] } },
  ]
  const { nodes, unknown } = describeClusterStatus(cluster, { ...whole, hosts }, now)
  assert.is(nodes[0]?.vm?.state, 'running')
  assert.equal(
    unknown.filter(({ source }) => source === 'hosts'),
    [{ source: 'hosts', reason: 'FILE_UNREADABLE: could not read a backup' }],
  )
})

test.run()
