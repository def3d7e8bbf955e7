import { plainLines } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseEtcdAlarms, parseEtcdStatus } from '@talosmith/clients/etcd'
import { findKubernetesProblem, versionsOf } from '../../src/upgrade/kubernetes-proof.ts'
import type { PodObject } from '@talosmith/clients/kubernetes'
import { findRestartProblem, type RestartedMachine } from '../../src/restart/proof.ts'
import { installsLive } from '../../src/restart/install.ts'
import { ready, readyNode, wellFacts } from '../support/facts.ts'

const cluster = testCluster({
  CONTROL_PLANE_COUNT: '3',
  WORKER_COUNT: '1',
  TALOS_EXTENSIONS: 'siderolabs/iscsi-tools siderolabs/qemu-guest-agent',
})
const target = { version: 'v1.13.9', schematic: cluster.schematic.id }
const [controlPlane] = cluster.controlPlanes
const [worker] = cluster.workers
assert.ok(controlPlane && worker)

const facts = {
  talosVersion: 'v1.13.9',
  schematic: cluster.schematic.id,
  extensions: ['iscsi-tools', 'qemu-guest-agent', 'more'],
  platform: 'nocloud',
  machine: ready,
}
const { etcd } = wellFacts(cluster)
const well: RestartedMachine = {
  facts,
  node: readyNode(controlPlane.name, controlPlane.address),
  etcd,
}
const lost = { ...etcd, status: etcd.status.slice(1) }
const of = (change: Partial<typeof facts>): RestartedMachine => ({
  ...well,
  facts: { ...facts, ...change },
})

/** A machine in its new boot, and the boot of which Kubernetes shows it. */
const shownAs = (bootID: string): RestartedMachine => {
  const { status } = well.node ?? {}
  const nodeInfo = { ...status?.nodeInfo, bootID }
  const metadata = { name: controlPlane.name }
  return { ...well, boot: 'new', node: { ...well.node, metadata, status: { ...status, nodeInfo } } }
}

/** A machine after its restart, and its problem; `!`: final. */
const rows: [string, RestartedMachine, string | undefined][] = [
  ['everything is healthy', well, undefined],
  ['it runs the old version', of({ talosVersion: 'v1.13.8' }), 'home-cp1 runs v1.13.8 (schematic '],
  ['it runs another schematic', of({ schematic: 'f'.repeat(64) }), '(schematic ffffffffffff)'],
  [
    'an extension is missing',
    of({ extensions: ['iscsi-tools'] }),
    '!home-cp1 lacks the extension qemu-guest-agent',
  ],
  [
    'it came back as metal',
    of({ platform: 'metal' }),
    '!home-cp1 came back as metal instead of nocloud',
  ],
  [
    'it does not report its platform',
    { ...well, facts: { ...facts, platform: undefined } },
    'does not report its platform yet',
  ],
  [
    'Kubernetes shows it as it was before its restart',
    shownAs('old'),
    'home-cp1 is shown in Kubernetes as it was before its restart',
  ],
  ['Kubernetes shows its new boot', shownAs('new'), undefined],
  ['it boots', of({ machine: { ...ready, stage: 'booting' } }), 'home-cp1 is booting'],
  [
    'a service does not run',
    of({
      machine: {
        stage: 'running',
        status: { ready: false, unmetConditions: [{ name: 'services', reason: 'etcd' }] },
      },
    }),
    'home-cp1 is not ready: services: etcd',
  ],
  [
    'it does not report its status',
    { ...well, facts: { ...facts, machine: undefined } },
    'does not report its status',
  ],
  ['its etcd does not answer', { ...well, etcd: lost }, 'home-cp1: its etcd does not answer'],
  [
    'its etcd was not queried',
    { ...well, etcd: undefined },
    'does not report the status of its etcd',
  ],
  [
    'Kubernetes does not know it',
    { ...well, node: undefined },
    'is not registered as a Kubernetes node',
  ],
  [
    'it is not Ready',
    { ...well, node: { metadata: { name: 'home-cp1' } } },
    'is not Ready in Kubernetes',
  ],
  [
    'it has another address',
    { ...well, node: readyNode('home-cp1', '10.0.0.9') },
    'without its address 10.0.0.70',
  ],
  [
    'its kubelet is another',
    { ...well, node: readyNode('home-cp1', '10.0.0.70', 'v1.35.0') },
    'has kubelet v1.35.0, not v1.36.3',
  ],
]
for (const [title, machine, expected] of rows)
  test(`${title}: ${expected === undefined ? 'healthy' : 'not healthy'}`, () => {
    const problem = findRestartProblem(
      cluster,
      controlPlane,
      { target, kubernetes: 'v1.36.3' },
      machine,
    )
    if (expected === undefined) assert.is(problem, undefined)
    else {
      assert.match(problem?.reason ?? '', expected.replace(/^!/, ''))
      assert.is(problem?.final, expected.startsWith('!'))
    }
  })

test('etcd is not checked on a worker', () => {
  const machine = { ...well, etcd: undefined, node: readyNode(worker.name, worker.address) }
  assert.is(
    findRestartProblem(cluster, worker, { target, kubernetes: 'v1.36.3' }, machine),
    undefined,
  )
})

test('a machine with its old schematic keeps the extensions of that schematic', () => {
  const own = { version: 'v1.13.9', schematic: 'a'.repeat(64) }
  const machine = { ...well, facts: { ...facts, schematic: own.schematic, extensions: [] } }
  assert.is(
    findRestartProblem(cluster, controlPlane, { target: own, kubernetes: 'v1.36.3' }, machine),
    undefined,
  )
})

const component = (name: string, version: string, ok = 'True'): PodObject => ({
  metadata: { name, namespace: 'kube-system' },
  spec: { containers: [{ image: `registry.k8s.io/${name.split('-home')[0]}:${version}` }] },
  status: { conditions: [{ type: 'Ready', status: ok }] },
})
const parts = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler']
const pods = (version = 'v1.36.3'): PodObject[] =>
  cluster.controlPlanes.flatMap(({ name }) =>
    parts.map((part) => component(`${part}-${name}`, version)),
  )
const nodes = (version = 'v1.36.3') =>
  cluster.nodes.map(({ name, address }) => readyNode(name, address, version))

test('every component of Kubernetes is verified', () => {
  const problem = (facts: Parameters<typeof findKubernetesProblem>[2]) =>
    findKubernetesProblem(cluster, 'v1.36.3', facts)
  assert.is(problem({ nodes: nodes(), pods: pods() }), undefined)
  assert.is(problem({ nodes: nodes('v1.35.0'), pods: pods() }), 'kubelet on home-cp1 is v1.35.0')
  assert.is(
    problem({
      nodes: nodes(),
      pods: [...pods().slice(0, 8), component('kube-scheduler-home-cp3', 'v1.35.0')],
    }),
    'kube-scheduler on home-cp3 is v1.35.0',
  )
  assert.is(
    problem({ nodes: nodes(), pods: pods().slice(1) }),
    'kube-apiserver on home-cp1 is not running',
  )
  assert.is(
    problem({
      nodes: nodes(),
      pods: [component('kube-apiserver-home-cp1', 'v1.36.3', 'False'), ...pods().slice(1)],
    }),
    'kube-apiserver on home-cp1 is not ready',
  )
})

test('kube-proxy is checked where it runs', () => {
  const proxy = (version: string, ok = 'True'): PodObject => {
    const { metadata, spec, status } = component('kube-proxy-home-w1', version, ok)
    const labels = { 'k8s-app': 'kube-proxy' }
    return {
      ...(status && { status }),
      metadata: { ...metadata, labels },
      spec: { ...spec, nodeName: 'home-w1' },
    }
  }
  const problem = (one: PodObject) =>
    findKubernetesProblem(cluster, 'v1.36.3', { nodes: nodes(), pods: [...pods(), one] })
  assert.is(problem(proxy('v1.36.3')), undefined)
  assert.is(problem(proxy('v1.35.0')), 'kube-proxy on home-w1 is v1.35.0')
  assert.is(problem(proxy('v1.36.3', 'False')), 'kube-proxy on home-w1 is not ready')
})

test('the version of an image with a tag and a digest is its tag', () => {
  const [first, ...rest] = pods()
  assert.ok(first)
  const image = `mirror.lan:5000/kube-apiserver:v1.36.3@sha256:${'0'.repeat(64)}`
  const facts = { nodes: nodes(), pods: [{ ...first, spec: { containers: [{ image }] } }, ...rest] }
  assert.is(versionsOf(cluster, facts).get('home-cp1')?.get('kube-apiserver'), 'v1.36.3')
})

// As talosctl v1.13.9 prints it.
test('the tables of etcd are read by column', () => {
  const status = `NODE         MEMBER             DB SIZE   IN USE           LEADER             RAFT INDEX   RAFT TERM   RAFT APPLIED INDEX   LEARNER   PROTOCOL   STORAGE   ERRORS
10.0.0.70    6c1c2a1d8b9d1a0e   3.4 MB    1.2 MB (35.29%)  6c1c2a1d8b9d1a0e   10433        4           10433                false     3.6.7      3.6.0     memberID:1 alarm:NOSPACE
`
  assert.equal(parseEtcdStatus(status), [
    {
      node: '10.0.0.70',
      id: '6c1c2a1d8b9d1a0e',
      leader: '6c1c2a1d8b9d1a0e',
      raftIndex: 10433,
      raftTerm: 4,
      isLearner: false,
      errors: 'memberID:1 alarm:NOSPACE',
    },
  ])
  const alarms = 'NODE        MEMBER             ALARM\n10.0.0.70   6c1c2a1d8b9d1a0e   NOSPACE\n'
  assert.equal(parseEtcdAlarms(alarms), [{ member: '6c1c2a1d8b9d1a0e', alarm: 'NOSPACE' }])
  assert.equal(parseEtcdAlarms(''), [])
})

test('a live installation needs support by both Talos and talosctl', () => {
  assert.ok(installsLive('v1.13.9', 'v1.13.9'))
  assert.ok(installsLive('v1.13.0', 'v1.14.0'))
  assert.not(installsLive('v1.12.11', 'v1.13.9'))
  assert.not(installsLive('v1.13.9', 'v1.13.6'))
})

test('a console is shown without terminal control sequences', () => {
  assert.equal(plainLines('\x1b[0;32m[ ok ]\x1b[0m a\r\n\r\n\x1b[2Jb\r'), ['[ ok ] a', 'b'])
})

test.run()
