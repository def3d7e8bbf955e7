import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { silentLog } from '../src/log.ts'
import { Problem } from '../src/problem.ts'
import { Hopeless, waitFor } from '../src/wait.ts'

const quick = { log: silentLog, withinMs: 200, everyMs: 5 }

/** A check that refuses for each reason in turn, then agrees. */
function refusing(...reasons: string[]): () => Promise<string> {
  return async () => {
    const reason = reasons.shift()
    if (reason !== undefined) throw new Error(reason)
    return 'yes'
  }
}

test('waits until the check agrees, and returns its answer', async () => {
  assert.is(await waitFor('the door to open', refusing('locked', 'locked'), quick), 'yes')
})

test('a reason is printed when it changes, not every time', async () => {
  const lines: string[] = []
  const log = { ...silentLog, info: (text: string) => void lines.push(text.trim()) }
  await waitFor('the door to open', refusing('locked', 'locked', 'stuck'), { ...quick, log })
  assert.equal(lines.slice(0, 2), [
    'waiting for the door to open: locked',
    'waiting for the door to open: stuck',
  ])
  assert.match(lines[2] ?? '', /^waited for the door to open: ok/)
  assert.is(lines.length, 3)
})

test('the run record says how long a wait took, and how often it looked', async () => {
  const events: [string, Record<string, unknown>][] = []
  const log = {
    ...silentLog,
    event: (...one: [string, Record<string, unknown>]) => void events.push(one),
  }
  await waitFor('the door to open', refusing('locked'), { ...quick, log })
  await waitFor('the door to stay open', refusing(), { ...quick, log })
  const [[name, { seconds, ...rest } = {}] = []] = events
  assert.is(events.length, 1)
  assert.is(name, 'waited')
  assert.equal(rest, { fact: 'the door to open', everyMs: 5 })
  assert.ok(Number(seconds) >= 0.005)
})

test('a wait is told of as data when its reason changes, and not when there is none', async () => {
  const told: string[][] = []
  const log = { ...silentLog, waiting: (...one: string[]) => void told.push(one) }
  await waitFor('the door to open', refusing('locked', 'locked', 'stuck'), { ...quick, log })
  await waitFor('the door to stay open', refusing(), { ...quick, log })
  assert.equal(told, [
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

test('what answers slowly is asked less often', async () => {
  const asked: number[] = []
  const check = async (): Promise<void> => {
    asked.push(performance.now())
    await new Promise((resolve) => setTimeout(resolve, 40))
    if (asked.length < 3) throw new Error('busy')
  }
  await waitFor('the door to open', check, { ...quick, withinMs: 5000, everyMs: 20 })
  // 40 ms for the check and as long for the pause; 20 ms would be the pause of a quick one.
  for (const [index, time] of asked.slice(1).entries())
    assert.ok(
      time - (asked[index] ?? 0) >= 75,
      `asked again after ${time - (asked[index] ?? 0)} ms`,
    )
})

test('what can never get better ends the wait at once', async () => {
  let asked = 0
  const check = async (): Promise<never> => {
    asked++
    throw new Hopeless('the door is painted on')
  }
  await waitFor('the door to open', check, quick).then(assert.unreachable, () => undefined)
  assert.is(asked, 1)
})

test.run()
