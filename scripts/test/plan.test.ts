import { CommandFailed, Problem, type Change } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attempt, partOf } from '../plan/attempt.ts'
import {
  exitCodeOf,
  planAsJson,
  renderReport,
  withoutRepeats,
  type PartPlan,
} from '../plan/report.ts'

const change: Change = {
  kind: 'update-domain',
  target: 'home-w1',
  summary: 'Change home-w1, from its next start',
  from: '2048 MiB of memory',
  to: '4096 MiB of memory',
  risk: 'restart',
}
const problem = new Problem('POOL_INACTIVE', 'the storage pool default on kvm1 is not active', {
  because: 'virsh pool-info: inactive',
  hint: 'virsh pool-start default',
})
const part = (name: PartPlan['part'], more: Partial<PartPlan> = {}): PartPlan =>
  partOf(name, [], more)
const nothing = [part('image'), part('vm'), part('bootstrap'), part('storage')]

const codes: [string, Partial<PartPlan>, number][] = [
  ['nothing to do is 0', {}, 0],
  ['a change is 2', { changes: [change] }, 2],
  ['a change beside something unknown is 2', { changes: [change], unknown: ['x'] }, 2],
  ['something unknown alone is 1: there may be changes', { unknown: ['x'] }, 1],
  ['a problem is 1, with or without changes', { changes: [change], problems: [problem] }, 1],
  ['a note is not a change', { notes: ['x'] }, 0],
]
for (const [title, more, code] of codes)
  test(`exit code: ${title}`, () => {
    assert.is(exitCodeOf([part('image'), part('vm', more)]), code)
  })

test('a plan without changes reports this for every part and for the cluster', () => {
  assert.is(
    renderReport({ file: 'home' }, nothing),
    `image: nothing to do
vm: nothing to do
bootstrap: nothing to do
storage: nothing to do

Nothing to do: everything matches the settings.`,
  )
})

test('changes are listed below their part, with values, risk and the command to run', () => {
  const text = renderReport({ file: 'home' }, [part('image'), part('vm', { changes: [change] })])
  assert.is(
    text,
    `image: nothing to do
vm: 1 change:
  ! Change home-w1, from its next start (2048 MiB of memory -> 4096 MiB of memory) [restart]

1 change. To make it: CLUSTER=home npx nx run cluster:up`,
  )
})

test('upgrades have another command', () => {
  const upgrade = { ...change, kind: 'upgrade-talos' }
  const render = (...changes: Change[]): string =>
    renderReport({ file: 'home' }, [part('vm', { changes })])
  assert.match(render(upgrade), 'it: CLUSTER=home npx nx run cluster:upgrade')
  assert.match(
    render({ ...change, kind: 'backup-etcd' }, upgrade),
    'them: CLUSTER=home npx nx run cluster:upgrade',
  )
  assert.match(
    render({ ...change, kind: 'drop-channel' }),
    'it: CLUSTER=home npx nx run cluster:upgrade',
  )
  assert.match(
    render(upgrade, change),
    'CLUSTER=home npx nx run cluster:up, then CLUSTER=home npx nx run cluster:upgrade',
  )
})

test('a problem has its reason and a hint; its part has no known changes', () => {
  const text = renderReport({ file: 'home' }, [part('vm', { problems: [problem] })])
  assert.is(
    text,
    `vm: no known changes
  x POOL_INACTIVE: the storage pool default on kvm1 is not active
      because: virsh pool-info: inactive
      try: virsh pool-start default

There are problems (x); a run would stop at the first.`,
  )
})

test('with something unknown, the cluster is never reported to match its settings', () => {
  const text = renderReport({ file: 'home' }, [part('vm', { unknown: ['home-w1: off'] })])
  assert.match(text, '? unknown: home-w1: off')
  assert.not.match(text, 'everything matches')
})

test('a problem of two parts is reported once, and is an unknown of the second part', () => {
  const parts = withoutRepeats([
    part('image', { problems: [problem] }),
    part('vm', { problems: [problem] }),
  ])
  assert.equal(
    parts.map(({ problems }) => problems.length),
    [1, 0],
  )
  assert.match(parts[1]?.unknown[0] ?? '', 'POOL_INACTIVE, above')
})

test('the JSON is plain data with the documented keys', () => {
  const json = planAsJson('home', [
    part('vm', { changes: [change], problems: [problem], unknown: ['x'], notes: ['y'] }),
  ])
  assert.equal(JSON.parse(JSON.stringify(json)), {
    cluster: 'home',
    changes: 1,
    parts: [
      {
        part: 'vm',
        changes: [change],
        problems: [
          {
            code: 'POOL_INACTIVE',
            message: 'the storage pool default on kvm1 is not active',
            because: 'virsh pool-info: inactive',
            hint: 'virsh pool-start default',
          },
        ],
        unknown: ['x'],
        notes: ['y'],
      },
    ],
  })
})

test('an expected failure of one part is returned', async () => {
  const failed = new CommandFailed('kvm1', 'stat x', { stdout: '', stderr: 'no', exitCode: 1 })
  assert.is((await attempt(() => Promise.reject(problem))).problem, problem)
  assert.match((await attempt(() => Promise.reject(failed))).reason ?? '', 'stat x exited with 1')
  assert.is((await attempt(() => 'observed')).value, 'observed')
})

test('a bug is thrown', async () => {
  const thrown = await attempt(() => Promise.reject(new TypeError('oops'))).catch(String)
  assert.is(thrown, 'TypeError: oops')
})

test.run()
