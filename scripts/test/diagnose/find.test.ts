import { type Node } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findCauses, isUncertain } from '../../diagnose/find.ts'
import { findingsAsJson, renderFindings } from '../../diagnose/report.ts'
import { testDiagnosed, testNotDiagnosed } from '../support/diagnosed.ts'
import {
  cluster,
  codes,
  down,
  host,
  member,
  observedWith,
  refused,
  service,
  starting,
  up,
  w1,
  type Parts,
} from '../support/observed-cluster.ts'

const isOff = { state: 'shut off', stateReason: 'destroyed', running: undefined } as const

const noLeader = (name: string) =>
  cluster.controlPlanes
    .filter((node) => node.name === name)
    .map((node) => ({ ...member(node, '0000000000000000'), errors: 'etcdserver: no leader' }))

test('a healthy cluster has no problems', () => {
  const findings = findCauses(cluster, observedWith())
  assert.equal(findings, { diagnoses: [], unmet: [] })
  assert.is(renderFindings(cluster, findings), 'No problems found in cluster home.')
})

testDiagnosed([
  [
    'a full pool and the machine that it paused',
    {
      host: { poolFreeBytes: 0 },
      evidence: { [w1]: { state: 'paused', stateReason: 'I/O error' } },
    },
    ['POOL_FULL root@kvm1', `PAUSED_BY_DISK ${w1}`],
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
])

testNotDiagnosed([
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
])

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

test('a source that did not answer is reported as unmet', () => {
  const findings = findCauses(
    cluster,
    observedWith({ more: { findings: down('no answer within 9 s') } }),
  )
  assert.equal(findings.unmet, ['Talos could not be queried: no answer within 9 s'])
  assert.match(renderFindings(cluster, findings), 'Unmet conditions without a known cause')
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

test.run()
