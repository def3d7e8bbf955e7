import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { applyAll, renderPlan, type Change } from '../src/change.ts'
import { silentLog } from '../src/log.ts'
import { problemOf } from '../src/testing/failure.ts'

const change = (kind: string, target: string): Change => ({
  kind,
  target,
  summary: `${kind} ${target}`,
  risk: 'none',
})

test('changes with one key run in order, different keys in parallel', async () => {
  const order: string[] = []
  const changes = ['a', 'b'].flatMap((target) => [change('disk', target), change('define', target)])
  await applyAll(
    changes,
    async ({ summary }) => {
      order.push(`${summary} begins`)
      await sleep(5)
      order.push(`${summary} ends`)
    },
    { log: silentLog, parallelBy: ({ target }) => target },
  )
  assert.equal(order.slice(0, 2), ['disk a begins', 'disk b begins'])
  assert.ok(order.indexOf('disk a ends') < order.indexOf('define a begins'))
})

test('without a key all changes run in order', async () => {
  let running = 0
  await applyAll(
    [change('x', 'a'), change('x', 'b')],
    async () => {
      assert.is(++running, 1)
      await sleep(2)
      running--
    },
    { log: silentLog },
  )
})

test('no change begins after the first failure, which is thrown', async () => {
  const done: string[] = []
  const failure = await problemOf(
    applyAll(
      [change('x', 'a'), change('x', 'b')],
      async ({ target }) => {
        done.push(target)
        throw new Error(`no ${target}`)
      },
      { log: silentLog },
    ),
  )
  assert.is(failure.message, 'no a')
  assert.equal(done, ['a'])
})

test('a plan names each change with its values and its risk', () => {
  const text = renderPlan([
    change('define', 'home-cp1'),
    { ...change('resize', 'home-w1'), from: '2048 MiB', to: '4096 MiB', risk: 'restart' },
  ])
  assert.match(text, '2 changes:')
  assert.match(text, '! resize home-w1 (2048 MiB -> 4096 MiB) [restart]')
})

test('an empty plan is reported as nothing to do', () => {
  assert.match(renderPlan([]), 'Nothing to do')
})

test.run()
