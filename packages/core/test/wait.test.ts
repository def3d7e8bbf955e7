import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { silentLog } from '../src/log.ts'
import { Problem } from '../src/problem.ts'
import { problemOf } from '../src/testing/failure.ts'
import { Unrecoverable, waitFor } from '../src/wait.ts'

const quick = { log: silentLog, withinMs: 200, everyMs: 5 }

/** A check that fails with each reason in turn, then passes. */
function failing(...reasons: string[]): () => Promise<string> {
  return async () => {
    const reason = reasons.shift()
    if (reason !== undefined) throw new Error(reason)
    return 'yes'
  }
}

test('waits until the check passes, and returns its result', async () => {
  assert.is(await waitFor('the door to open', failing('locked', 'locked'), quick), 'yes')
})

test('a reason is printed when it changes, not every time', async () => {
  const lines: string[] = []
  const log = { ...silentLog, info: (text: string) => void lines.push(text.trim()) }
  await waitFor('the door to open', failing('locked', 'locked', 'stuck'), { ...quick, log })
  assert.equal(lines.slice(0, 2), [
    'waiting for the door to open: locked',
    'waiting for the door to open: stuck',
  ])
  assert.match(lines[2] ?? '', /^waited for the door to open: ok/)
  assert.is(lines.length, 3)
})

test('the run record holds how long a wait took, and how often it checked', async () => {
  const events: [string, Record<string, unknown>][] = []
  const log = {
    ...silentLog,
    event: (...one: [string, Record<string, unknown>]) => void events.push(one),
  }
  await waitFor('the door to open', failing('locked'), { ...quick, log })
  await waitFor('the door to stay open', failing(), { ...quick, log })
  const [[name, { seconds, ...rest } = {}] = []] = events
  assert.is(events.length, 1)
  assert.is(name, 'waited')
  assert.equal(rest, { fact: 'the door to open', everyMs: 5 })
  assert.ok(Number(seconds) >= 0.005)
})

test('a wait is recorded as data when its reason changes, and not when there is none', async () => {
  const recorded: string[][] = []
  const log = { ...silentLog, waiting: (...one: string[]) => void recorded.push(one) }
  await waitFor('the door to open', failing('locked', 'locked', 'stuck'), { ...quick, log })
  await waitFor('the door to stay open', failing(), { ...quick, log })
  assert.equal(recorded, [
    ['the door to open', 'locked'],
    ['the door to open', 'stuck'],
  ])
})

test('gives up with the last reason and the hint', async () => {
  const problem = await waitFor('the door to open', () => Promise.reject(new Error('locked')), {
    ...quick,
    withinMs: 20,
    hint: 'knock',
  }).then(assert.unreachable, (error: unknown) => error)
  assert.instance(problem, Problem)
  assert.is((problem as Problem).because, 'locked')
  assert.is((problem as Problem).hint, 'knock')
  assert.match((problem as Problem).message, 'waiting for the door to open')
})

test('a slow check is repeated less often', async () => {
  const checks: number[] = []
  const check = async (): Promise<void> => {
    checks.push(performance.now())
    await new Promise((resolve) => setTimeout(resolve, 40))
    if (checks.length < 3) throw new Error('busy')
  }
  await waitFor('the door to open', check, { ...quick, withinMs: 5000, everyMs: 20 })
  // 40 ms for the check and as long for the pause; 20 ms would be the pause of a quick one.
  for (const [index, time] of checks.slice(1).entries())
    assert.ok(
      time - (checks[index] ?? 0) >= 75,
      `checked again after ${time - (checks[index] ?? 0)} ms`,
    )
})

test('an unrecoverable error ends the wait at once, with the message of the caller if it has one', async () => {
  let checks = 0
  const check = async (): Promise<never> => {
    checks++
    throw new Unrecoverable('the door is painted on')
  }
  const problem = await problemOf(waitFor('the door to open', check, quick))
  assert.is(checks, 1)
  assert.is(problem.message, 'gave up waiting for the door to open')
  assert.is(problem.because, 'the door is painted on')
  const failure = 'the door does not open'
  assert.is((await problemOf(waitFor('it to open', check, { ...quick, failure }))).message, failure)
})

test('the time starts again whenever something has moved', async () => {
  const moves = [true, true, true, true, false]
  const stuck = async () => {
    throw new Error('locked')
  }
  const options = { ...quick, withinMs: 30, everyMs: 10 }
  const tries: number[] = []
  const hasMoved = (): boolean => (tries.push(1), moves.shift() ?? false)
  const problem = await problemOf(waitFor('the door to open', stuck, { ...options, hasMoved }))
  assert.is(problem.code, 'WAIT_TIMED_OUT')
  assert.ok(tries.length >= 6, `${tries.length} checks`)
})

test.run()
