import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { askEtcd, etcdFault, parseEtcdMembers, parseEtcdStatus } from '@talosmith/clients/etcd'
import { fakeTalosctl } from '@talosmith/clients/testing'

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
const { controlPlanes, ...cluster } = testCluster({ CONTROL_PLANE_COUNT: '3' })
const fault = (table: string, state: string): string | undefined =>
  etcdFault(controlPlanes, { members: parseEtcdMembers(table), status: parseEtcdStatus(state) })

test('three voting members with one leader are well', () => {
  assert.is(fault(members, status), undefined)
})

const rows: [string, string, string, RegExp][] = [
  [
    'a control plane that has not joined',
    members.replace(/^.*home-cp3.*\n/m, ''),
    status,
    /^home-cp3 has not joined$/,
  ],
  [
    'a member that is no control plane',
    members.replace('home-cp3', 'home-old').concat(members.split('\n')[3] ?? ''),
    status,
    /^home-old is a member, but no control plane$/,
  ],
  [
    'a member that never started',
    `${members}10.0.0.70   00000000000000aa              https://10.0.0.73:2380                            false\n`,
    status,
    /^a member that never started is a member/,
  ],
  ['a learner', members.replace(/false\n$/, 'true\n'), status, /^home-cp3 is still learning$/],
  [
    'a control plane that says nothing',
    members,
    status.replace(/^10\.0\.0\.71.*\n/m, ''),
    /^home-cp2 does not say how it is$/,
  ],
  [
    'an alarm',
    members,
    status.replace('3.6.0     \n10.0.0.72', '3.6.0     memberID:1 alarm:NOSPACE\n10.0.0.72'),
    /^home-cp2: .*NOSPACE$/,
  ],
  [
    'two leaders',
    members,
    status.replace(/(10\.0\.0\.72.*\))(\s+)41e1c53bd3a9d63d/, '$1$28e36b1a2e55ab2ba'),
    /do not agree on a leader/,
  ],
  [
    'no leader',
    members,
    status.replaceAll(/\)(\s+)41e1c53bd3a9d63d/g, ')$10000000000000000'),
    /do not agree on a leader/,
  ],
]
for (const [title, table, state, expected] of rows)
  test(`${title} is named`, () => {
    assert.match(fault(table, state) ?? 'well', expected)
  })

test('etcd is asked in two processes, through the control planes that answer', async () => {
  const talosctl = fakeTalosctl((words) => (words === 'etcd members' ? members : status))
  const alive = ['10.0.0.71', '10.0.0.72']
  const seen = await askEtcd({ ...cluster, controlPlanes }, talosctl, alive)
  assert.is(seen.members.length, 3)
  assert.equal(talosctl.calls, ['etcd members @ 10.0.0.71', 'etcd status @ 10.0.0.71,10.0.0.72'])
})

test('an etcd that refuses is known by its reason', async () => {
  const stderr =
    'error getting members: rpc error: code = DeadlineExceeded desc = context deadline exceeded'
  const asked = askEtcd(
    { ...cluster, controlPlanes },
    fakeTalosctl(() => ({ stderr })),
  )
  assert.is(await asked.catch((error: Error) => error.message), 'context deadline exceeded')
})

test.run()
