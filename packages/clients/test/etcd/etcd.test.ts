import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  judgeEtcd,
  leaderOf,
  memberOf,
  observeEtcdFacts,
  parseEtcdMembers,
  parseEtcdStatus,
} from '@talosmith/clients/etcd'
import type { Probes } from '@talosmith/clients/talos'
import { fakeTalosctl, type Reply } from '@talosmith/clients/testing'

// As talosctl v1.13.9 prints them.
const members = `NODE        ID                 HOSTNAME   PEER URLS                CLIENT URLS              LEARNER
10.0.0.70   41e1c53bd3a9d63d   home-cp1   https://10.0.0.70:2380   https://10.0.0.70:2379   false
10.0.0.70   1b36ed6e55ab2ba5   home-cp2   https://10.0.0.71:2380   https://10.0.0.71:2379   false
10.0.0.70   8e36b1a2e55ab2ba   home-cp3   https://10.0.0.72:2380   https://10.0.0.72:2379   false
`
const status = `NODE        MEMBER             DB SIZE   IN USE           LEADER             RAFT INDEX   RAFT TERM   RAFT APPLIED INDEX   LEARNER   PROTOCOL   STORAGE   ERRORS
10.0.0.70   41e1c53bd3a9d63d   12 MB     4.0 MB (33.51%)  41e1c53bd3a9d63d   5312         3           5312                 false     3.6.14     3.6.0     
10.0.0.71   1b36ed6e55ab2ba5   12 MB     4.0 MB (33.51%)  41e1c53bd3a9d63d   5312         3           5312                 false     3.6.14     3.6.0     
10.0.0.72   8e36b1a2e55ab2ba   12 MB     4.0 MB (33.51%)  41e1c53bd3a9d63d   5312         3           5312                 false     3.6.14     3.6.0     
`
const cluster = testCluster({ CONTROL_PLANE_COUNT: '3' })
const found = (table: string, state: string): string[] =>
  judgeEtcd(cluster, {
    members: parseEtcdMembers(table),
    status: parseEtcdStatus(state),
    alarms: [],
    silence: new Map([['home-cp2', 'connection refused']]),
  }).map(({ kind, who, why, final }) => `${final ? '!' : ''}${kind}: ${who}: ${why}`)

test('three voting members with one leader are well', () => {
  assert.equal(found(members, status), [])
})

const rows: [string, string, string, string[]][] = [
  [
    'a control plane that has not joined',
    members.replace(/^.*home-cp3.*\n/m, ''),
    status,
    ['missing-member: home-cp3: is not a member of etcd'],
  ],
  [
    'a member that is no control plane',
    `${members}10.0.0.70   00000000000000aa   home-old   https://10.0.0.79:2380   https://10.0.0.79:2379   false\n`,
    status,
    ['!unknown-member: home-old: is a member of etcd, but no control plane of the settings'],
  ],
  [
    'a member that never started',
    `${members}10.0.0.70   00000000000000aa              https://10.0.0.73:2380                            false\n`,
    status,
    ['never-started: member 00000000000000aa: was added to etcd but never started'],
  ],
  [
    'a learner',
    members.replace(/false\n$/, 'true\n'),
    status,
    ['learner: home-cp3: is still learning and has no vote in etcd'],
  ],
  [
    'a control plane that does not answer',
    members,
    status.replace(/^10\.0\.0\.71.*\n/m, ''),
    ['silent: home-cp2: its etcd does not answer: connection refused'],
  ],
  [
    'an alarm',
    members,
    status.replace('3.6.0     \n10.0.0.72', '3.6.0     memberID:1 alarm:NOSPACE\n10.0.0.72'),
    ['errors: home-cp2: its etcd has errors: memberID:1 alarm:NOSPACE'],
  ],
  [
    'two leaders',
    members,
    status.replace(/(10\.0\.0\.72.*\))(\s+)41e1c53bd3a9d63d/, '$1$28e36b1a2e55ab2ba'),
    ['several-leaders: etcd: its members do not agree on a leader'],
  ],
  [
    'a second cluster',
    members.replace(/^.*home-cp3.*\n/m, ''),
    status.replace(/(10\.0\.0\.72.*\))(\s+)41e1c53bd3a9d63d/, '$1$28e36b1a2e55ab2ba'),
    [
      'missing-member: home-cp3: is not a member of etcd',
      'several-clusters: etcd: its members do not agree on a leader',
    ],
  ],
  [
    'no leader',
    members,
    status.replaceAll(/\)(\s+)41e1c53bd3a9d63d/g, ')$10000000000000000'),
    ['no-leader: etcd: it has no leader among its members'],
  ],
  [
    'a list of members that did not come',
    '',
    status,
    ['members-unknown: etcd: does not list its members: it names none'],
  ],
]
for (const [title, table, state, expected] of rows)
  test(`${title} is named`, () => {
    assert.equal(found(table, state), expected)
  })

const probed = (...names: readonly string[]): Probes =>
  new Map(
    cluster.controlPlanes.map(({ name }) => [
      name,
      names.includes(name) ? { kind: 'ours' } : { kind: 'silent', reason: `${name} is off` },
    ]),
  )
/** Looks at an etcd where `reply` differs from that of a healthy one. */
async function look(
  probes: Probes,
  reply: (words: string, nodes: readonly string[]) => Reply | undefined = () => undefined,
  asksAlarms = true,
) {
  const talosctl = fakeTalosctl((words, nodes): Reply => {
    const well = { 'etcd members': members, 'etcd status': status, 'etcd alarm list': '' }
    return reply(words, nodes) ?? well[words as keyof typeof well]
  })
  const options = { talosCa: undefined, probes, asksAlarms }
  return { ...(await observeEtcdFacts(cluster, talosctl, options)), calls: talosctl.calls }
}
const all = probed('home-cp1', 'home-cp2', 'home-cp3')

test('etcd is asked in three processes, through the control planes that answer', async () => {
  const { calls, members, silence, unreachable } = await look(probed('home-cp2', 'home-cp3'))
  assert.is(members.length, 3)
  assert.equal(calls.sort(), [
    'etcd alarm list @ 10.0.0.71',
    'etcd members @ 10.0.0.71',
    'etcd status @ 10.0.0.71,10.0.0.72',
  ])
  assert.equal([...silence], [['home-cp1', 'home-cp1 is off']])
  assert.equal([...unreachable], ['home-cp1'])
})

test('alarms are left out where they are not wanted', async () => {
  const { calls, alarms, alarmSilence } = await look(all, undefined, false)
  assert.is(calls.length, 2)
  assert.equal([alarms, alarmSilence], [[], undefined])
})

test('a member that is left out is asked by itself, and is silent with its own reason', async () => {
  const withoutFirst = status.replace(/^10\.0\.0\.70.*\n/m, '')
  const refused = (reason: string) => ({ stderr: `rpc error: code = Unknown desc = ${reason}` })
  const found = await look(all, (words, nodes) => {
    if (nodes[0] !== '10.0.0.70') return undefined
    if (words !== 'etcd status') return refused('etcd is not running')
    return nodes.length > 1
      ? { stdout: withoutFirst, ...refused('several errors') }
      : refused('service etcd is not running')
  })
  assert.equal([...found.silence], [['home-cp1', 'service etcd is not running']])
  assert.equal([...found.unreachable], [])
  assert.is(found.status.length, 2)
  // Another one knows the members.
  assert.is(found.members.length, 3)
  assert.is(found.alarmSilence, undefined)
})

test('a member that answers when it is asked by itself is not silent', async () => {
  const found = await look(all, (words, nodes) =>
    words === 'etcd status' && nodes.length > 1
      ? { stderr: 'rpc error: code = Unavailable desc = the endpoint went away' }
      : undefined,
  )
  assert.is(found.silence.size, 0)
  assert.equal(
    found.status.map(({ node }) => node),
    ['10.0.0.70', '10.0.0.71', '10.0.0.72'],
  )
})

test('an etcd that refuses is known by its reason', async () => {
  const stderr =
    'error getting members: rpc error: code = DeadlineExceeded desc = context deadline exceeded'
  const found = await look(all, () => ({ stderr }))
  assert.is(found.memberSilence, 'context deadline exceeded')
  assert.is(found.alarmSilence, 'context deadline exceeded')
})

test('nothing is asked of an etcd whose control planes are all off', async () => {
  const { calls, memberSilence } = await look(probed())
  assert.equal([calls, memberSilence], [[], 'no control plane answers'])
})

test('members are matched by what a machine reports, by address and then by name', () => {
  const renamed = members.replaceAll('home-cp', 'node--0')
  const facts = { members: parseEtcdMembers(renamed), status: parseEtcdStatus(status) }
  assert.equal(found(renamed, status), [])
  assert.is(leaderOf(cluster.controlPlanes, facts), 'home-cp1')
  const [cp1, cp2] = cluster.controlPlanes.map((node) => memberOf(node, { ...facts, status: [] }))
  assert.equal([cp1?.name, cp2?.name], ['node--01', 'node--02'])
})

test('a member that no machine reports is not called unknown while a control plane is silent', () => {
  const other = members.replace(
    /home-cp3(.*)$/m,
    'node--03   https://192.168.7.3:2380   https://192.168.7.3:2379   false',
  )
  const silent = status.replace(/^10\.0\.0\.72.*\n/m, '')
  assert.equal(found(other, status), [])
  assert.is(
    found(other, silent).some((text) => text.includes('unknown-member')),
    false,
  )
})

test.run()
