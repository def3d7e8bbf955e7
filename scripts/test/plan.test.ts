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
  because: 'virsh says so',
  hint: 'virsh pool-start default',
})
const part = (name: PartPlan['part'], more: Partial<PartPlan> = {}): PartPlan =>
  partOf(name, [], more)
const nothing = [part('image'), part('vm'), part('bootstrap'), part('storage')]

const codes: [string, Partial<PartPlan>, number][] = [
  ['nothing to do is 0', {}, 0],
  ['a change is 2', { changes: [change] }, 2],
  ['a change beside something not known is 2', { changes: [change], unknown: ['x'] }, 2],
  [
    'something not known alone is 1: nobody knows that there is nothing to do',
    { unknown: ['x'] },
    1,
  ],
  ['a problem is 1, whatever would change', { changes: [change], problems: [problem] }, 1],
  ['a note is nothing to do', { notes: ['x'] }, 0],
]
for (const [title, more, code] of codes)
  test(`exit code: ${title}`, () => {
    assert.is(exitCodeOf([part('image'), part('vm', more)]), code)
  })

test('a plan without changes says so of every part and of the whole', () => {
  assert.is(
    renderReport({ file: 'home' }, nothing),
    `image: nothing to do
vm: nothing to do
bootstrap: nothing to do
storage: nothing to do

Nothing to do: everything is as the settings ask.`,
  )
})

test('changes stand below their part, with values and risk, and what to type', () => {
  const text = renderReport({ file: 'home' }, [part('image'), part('vm', { changes: [change] })])
  assert.is(
    text,
    `image: nothing to do
vm: 1 change:
  ! Change home-w1, from its next start (2048 MiB of memory -> 4096 MiB of memory) [restart]

1 change. To make it: CLUSTER=home npx nx run cluster:up`,
  )
})

test('upgrades alone are made by another command', () => {
  const upgrade = { ...change, kind: 'upgrade-talos' }
  const say = (...changes: Change[]): string =>
    renderReport({ file: 'home' }, [part('vm', { changes })])
  assert.match(say(upgrade), 'it: CLUSTER=home npx nx run cluster:upgrade')
  assert.match(
    say({ ...change, kind: 'backup-etcd' }, upgrade),
    'them: CLUSTER=home npx nx run cluster:upgrade',
  )
  assert.match(
    say({ ...change, kind: 'drop-channel' }),
    'it: CLUSTER=home npx nx run cluster:upgrade',
  )
  assert.match(
    say(upgrade, change),
    'CLUSTER=home npx nx run cluster:up, then CLUSTER=home npx nx run cluster:upgrade',
  )
})

test('a problem is said with its reason and what to type; its part claims nothing', () => {
  const text = renderReport({ file: 'home' }, [part('vm', { problems: [problem] })])
  assert.is(
    text,
    `vm: nothing known to do
  x POOL_INACTIVE: the storage pool default on kvm1 is not active
      because: virsh says so
      try: virsh pool-start default

Something stands in the way (x); the run would stop there.`,
  )
})

test('what is not known is never "everything is as the settings ask"', () => {
  const text = renderReport({ file: 'home' }, [part('vm', { unknown: ['home-w1: off'] })])
  assert.match(text, '? not known: home-w1: off')
  assert.not.match(text, 'everything is as')
})

test('a problem that two parts meet is said once; the second knows less for it', () => {
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

test('as JSON, it is plain data with the documented keys', () => {
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
            because: 'virsh says so',
            hint: 'virsh pool-start default',
          },
        ],
        unknown: ['x'],
        notes: ['y'],
      },
    ],
  })
})

test('an expected failure of one part is kept for the others to be shown', async () => {
  const failed = new CommandFailed('kvm1', 'stat x', { stdout: '', stderr: 'no', exitCode: 1 })
  assert.is((await attempt(() => Promise.reject(problem))).problem, problem)
  assert.match((await attempt(() => Promise.reject(failed))).reason ?? '', 'stat x exited with 1')
  assert.is((await attempt(() => 'seen')).value, 'seen')
})

test('a fault of the program is no reason: it goes on', async () => {
  const fault = await attempt(() => Promise.reject(new TypeError('oops'))).catch(String)
  assert.is(fault, 'TypeError: oops')
})

test.run()
