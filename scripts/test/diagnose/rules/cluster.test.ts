import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findCauses } from '../../../diagnose/find.ts'
import { testDiagnosed, testNotDiagnosed } from '../../support/diagnosed.ts'
import {
  allMembers,
  cluster,
  codes,
  down,
  host,
  late,
  member,
  observedWith,
  refused,
  starting,
  up,
  w1,
  type Parts,
} from '../../support/observed-cluster.ts'

const namedNode = (name: string, address: string) => ({
  metadata: { name },
  status: {
    conditions: [{ type: 'Ready', status: 'True' }],
    addresses: [{ type: 'InternalIP', address }],
    nodeInfo: { kubeletVersion: cluster.settings.KUBERNETES_VERSION },
  },
})

testDiagnosed([
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
          ...allMembers,
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
])

testNotDiagnosed([
  [
    'an API server that is starting',
    {
      talos: { 'home-cp1': starting },
      api: { apiServers: new Map([['home-cp1', refused]]) },
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
        members: [...allMembers, { id: 'new', name: '', isLearner: true }],
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
  [
    'Kubernetes that does not answer yet',
    { api: { nodes: down('no API server is ready'), apiServers: new Map() } },
  ],
])

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

test.run()
