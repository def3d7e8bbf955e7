import { testCluster } from '@talosmith/core/testing'
import type { Cluster } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { EtcdFacts } from '@talosmith/clients/etcd'
import { judgeGate, type GateFacts } from '../../src/restart/gate.ts'
import type { NodeObject } from '@talosmith/clients/kubernetes'
import { upgradeAnnotation } from '../../src/restart/upgrade-annotation.ts'
import { ready, wellFacts } from '../support/facts.ts'

const sized = (controlPlanes: number): Cluster =>
  testCluster({ CONTROL_PLANE_COUNT: String(controlPlanes), WORKER_COUNT: '1' })
const three = sized(3)
const one = sized(1)
const well = wellFacts(three)

type EtcdChange = (etcd: EtcdFacts) => Partial<EtcdFacts>
const etcd = (change: EtcdChange, from = well): GateFacts => ({
  ...from,
  etcd: { ...from.etcd, ...change(from.etcd) },
})
const status =
  (index: number, change: Partial<EtcdFacts['status'][number]>): EtcdChange =>
  ({ status }) => ({
    status: status.map((member, i) => (i === index ? { ...member, ...change } : member)),
  })
const member =
  (index: number, change: Partial<EtcdFacts['members'][number]>): EtcdChange =>
  ({ members }) => ({
    members: members.map((one, i) => (i === index ? { ...one, ...change } : one)),
  })
const silent =
  (...indexes: number[]): EtcdChange =>
  ({ status }) => ({
    status: status.filter((_, i) => !indexes.includes(i)),
    silence: new Map(indexes.map((i) => [`home-cp${i + 1}`, 'connection refused'])),
  })
const machine = (name: string, stage: string | undefined): GateFacts => {
  const answer =
    stage === undefined
      ? ({ ok: false, reason: 'no route to host' } as const)
      : ({ ok: true, value: { ...ready, stage } } as const)
  return { ...well, machines: new Map([...well.machines, [name, answer]]) }
}
const node = (name: string, change: (node: NodeObject) => NodeObject | undefined): GateFacts => ({
  ...well,
  nodes: (Array.isArray(well.nodes) ? (well.nodes as NodeObject[]) : []).flatMap((object) =>
    object.metadata.name === name ? (change(object) ?? []) : [object],
  ),
})
const cordoned = (object: NodeObject): NodeObject => ({ ...object, spec: { unschedulable: true } })
const annotated = (object: NodeObject): NodeObject => ({
  ...cordoned(object),
  metadata: { ...object.metadata, annotations: { [upgradeAnnotation]: 'v1.13.9' } },
})
const notReady = (object: NodeObject): NodeObject => ({
  ...object,
  status: { conditions: [{ type: 'Ready', status: 'False', message: 'PLEG is not healthy' }] },
})

/** The problem, the machine to restart, and the reasons as `who: why`, with `!` for final ones. */
type Row = [
  title: string,
  facts: GateFacts,
  candidate: string,
  reasons: string[],
  cluster?: Cluster,
]

const rows: Row[] = [
  ['nothing', well, 'home-cp1', []],
  ['nothing', well, 'home-cp3', []],
  ['nothing', well, 'home-w1', []],
  ['nothing, with one control plane', wellFacts(one), 'home-cp1', [], one],
  ['nothing, with five', wellFacts(sized(5)), 'home-cp5', [], sized(5)],
  [
    'a stopped member',
    etcd(silent(1)),
    'home-cp1',
    [
      'home-cp2: its etcd does not answer: connection refused',
      'etcd: without home-cp1 it would have 1 of 3 members; quorum needs 2',
    ],
  ],
  [
    'a stopped member, which is the one to be restarted',
    etcd(silent(1)),
    'home-cp2',
    ['home-cp2: its etcd does not answer: connection refused'],
  ],
  [
    'a stopped member, and a worker is next',
    etcd(silent(1)),
    'home-w1',
    ['home-cp2: its etcd does not answer: connection refused'],
  ],
  [
    'two stopped members of five',
    etcd(silent(1, 2), wellFacts(sized(5))),
    'home-cp1',
    [
      'home-cp2: its etcd does not answer: connection refused',
      'home-cp3: its etcd does not answer: connection refused',
      'etcd: without home-cp1 it would have 2 of 5 members; quorum needs 3',
    ],
    sized(5),
  ],
  [
    'a control plane that is no member',
    etcd(({ members }) => ({ members: members.slice(0, 2) })),
    'home-w1',
    ['home-cp3: is not a member of etcd'],
  ],
  [
    'two members, whatever happens',
    etcd(({ members }) => ({ members: members.slice(0, 2) })),
    'home-cp1',
    [
      'home-cp3: is not a member of etcd',
      '!etcd: without home-cp1 it would have 1 of 2 members; quorum needs 2',
    ],
  ],
  [
    'a member that never started',
    etcd(member(2, { name: '' })),
    'home-w1',
    ['home-cp3: is not a member of etcd', 'member id3: was added to etcd but never started'],
  ],
  [
    'a member that is no control plane',
    etcd(({ members }) => ({
      members: [...members, { id: 'x', name: 'old-cp4', isLearner: false }],
    })),
    'home-w1',
    ['!old-cp4: is a member of etcd, but no control plane of the settings'],
  ],
  [
    'a learner',
    etcd(member(2, { isLearner: true })),
    'home-w1',
    ['home-cp3: is still learning and has no vote in etcd'],
  ],
  [
    'a learner, which could not take over',
    etcd(member(2, { isLearner: true })),
    'home-cp1',
    [
      'home-cp3: is still learning and has no vote in etcd',
      'etcd: without home-cp1 it would have 1 of 3 members; quorum needs 2',
    ],
  ],
  [
    'an alarm',
    etcd(() => ({ alarms: [{ member: 'id2', alarm: 'NOSPACE' }] })),
    'home-w1',
    ['home-cp2: has raised the alarm NOSPACE'],
  ],
  [
    'alarms that are not known',
    etcd(() => ({ alarmSilence: 'no answer within 15 s' })),
    'home-w1',
    ['etcd: does not list its alarms: no answer within 15 s'],
  ],
  [
    'an alarm of an unknown member',
    etcd(() => ({ alarms: [{ member: 'id9', alarm: 'CORRUPT' }] })),
    'home-w1',
    ['member id9: has raised the alarm CORRUPT'],
  ],
  [
    'errors of a member',
    etcd(status(2, { errors: 'etcdserver: no leader' })),
    'home-w1',
    ['home-cp3: its etcd has errors: etcdserver: no leader'],
  ],
  ['a member a thousand entries behind', etcd(status(0, { raftIndex: 4002 })), 'home-cp1', []],
  [
    'a member further behind',
    etcd(status(0, { raftIndex: 4001 })),
    'home-cp1',
    ['home-cp1: its etcd is 1001 entries behind the others'],
  ],
  [
    'two leaders',
    etcd(status(2, { leader: 'id3' })),
    'home-w1',
    ['etcd: its members do not agree on a leader'],
  ],
  [
    'a member in another term',
    etcd(status(2, { raftTerm: 4 })),
    'home-w1',
    ['etcd: its members do not agree on a leader'],
  ],
  [
    'no leader',
    etcd(({ status }) => ({ status: status.map((member) => ({ ...member, leader: '0' })) })),
    'home-w1',
    ['etcd: it has no leader among its members'],
  ],
  [
    'a machine that restarts',
    machine('home-cp2', 'rebooting'),
    'home-cp1',
    ['home-cp2: is rebooting'],
  ],
  ['the machine itself is not well', machine('home-cp2', 'booting'), 'home-cp2', []],
  [
    'a machine that upgrades',
    machine('home-w1', 'upgrading'),
    'home-cp1',
    ['home-w1: is upgrading'],
  ],
  [
    'a machine that is silent',
    machine('home-w1', undefined),
    'home-cp1',
    ['home-w1: does not report its status: no route to host'],
  ],
  [
    'a node that is not Ready',
    node('home-w1', notReady),
    'home-cp1',
    ['home-w1: is not Ready in Kubernetes: PLEG is not healthy'],
  ],
  ['the node itself is not Ready', node('home-w1', notReady), 'home-w1', []],
  [
    'a node that is missing',
    node('home-w1', () => undefined),
    'home-cp1',
    ['home-w1: is not registered as a Kubernetes node'],
  ],
  [
    'a node that another user cordoned, the turn of another machine',
    node('home-w1', cordoned),
    'home-cp1',
    ['!home-w1: was cordoned by another user or tool'],
  ],
  [
    'a node that another user cordoned, its own turn',
    node('home-w1', cordoned),
    'home-w1',
    ['!home-w1: was cordoned by another user or tool'],
  ],
  ['a node that an earlier run cordoned', node('home-w1', annotated), 'home-w1', []],
  [
    'another node that a run before cordoned',
    node('home-w1', annotated),
    'home-cp1',
    ['home-w1: is in the middle of an upgrade'],
  ],
  [
    'an API that does not answer',
    { ...well, nodes: { reason: 'connection refused' } },
    'home-w1',
    ['Kubernetes: nodes cannot be listed: connection refused'],
  ],
]

for (const [title, facts, candidate, expected, cluster = three] of rows)
  test(`${title}: ${candidate} ${expected.length === 0 ? 'may be restarted' : 'may not'}`, () => {
    const candidates = cluster.nodes.filter(({ name }) => name === candidate)
    assert.is(candidates.length, 1)
    assert.equal(
      judgeGate(cluster, facts, candidates).map(
        ({ who, why, final }) => `${final ? '!' : ''}${who}: ${why}`,
      ),
      expected,
    )
  })

test('two control planes at once are never allowed', () => {
  const reasons = judgeGate(three, well, three.controlPlanes.slice(0, 2))
  assert.equal(reasons, [
    { who: 'etcd', why: 'control planes are restarted one at a time', final: true },
  ])
})

test('cordons are ignored where the gate is told to', () => {
  const facts = node('home-w1', annotated)
  assert.is(judgeGate(three, facts, []).length, 1)
  assert.equal(judgeGate(three, facts, [], { cordons: false }), [])
  assert.equal(judgeGate(three, node('home-cp2', cordoned), [], { cordons: false }), [])
})

test('workers that restart together do not block each other', () => {
  const cluster = testCluster({ WORKER_COUNT: '3' })
  const facts = wellFacts(cluster)
  const [first, second] = cluster.workers
  assert.ok(first && second)
  const busy = {
    ...facts,
    nodes: (facts.nodes as NodeObject[]).map((object) =>
      object.metadata.name === second.name ? annotated(object) : object,
    ),
  }
  assert.equal(judgeGate(cluster, busy, [first, second]), [])
  assert.is(judgeGate(cluster, busy, [first]).length, 1)
})

test.run()
