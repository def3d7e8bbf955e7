import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { retry } from '../src/retry.ts'

/** Work that fails a number of times, and the recorded pauses. */
function failing(times: number) {
  const pausesMs: number[] = []
  let calls = 0
  const work = async (): Promise<number> => {
    calls++
    if (calls <= times) throw new Error(`failure ${calls}`)
    return calls
  }
  const options = {
    attempts: 3,
    pauseMs: (failures: number) => failures,
    onRetry: (_: unknown, pauseMs: number) => void pausesMs.push(pauseMs),
  }
  return { work, options, pausesMs, calls: () => calls }
}

async function messageOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'it succeeded',
    (error: unknown) => (error as Error).message,
  )
}

test('work is repeated until it succeeds, with pauses between', async () => {
  const { work, options, pausesMs } = failing(2)
  assert.is(await retry(work, options), 3)
  assert.equal(pausesMs, [1, 2])
})

test('the last failure is thrown after all attempts', async () => {
  const { work, options, calls } = failing(9)
  assert.is(await messageOf(retry(work, options)), 'failure 3')
  assert.is(calls(), 3)
})

test('a permanent failure is thrown at once', async () => {
  const { work, options, calls } = failing(9)
  assert.is(await messageOf(retry(work, { ...options, isTransient: () => false })), 'failure 1')
  assert.is(calls(), 1)
})

test('failures are counted from one again after progress', async () => {
  const { work, options, pausesMs, calls } = failing(4)
  assert.is(await retry(work, { ...options, hasProgressed: () => calls() < 4 }), 5)
  assert.equal(pausesMs, [1, 1, 1, 2])
})

test('a stopped run begins no further attempt', async () => {
  const { work, options, calls } = failing(9)
  const stop = new AbortController()
  const onRetry = (): void => stop.abort(new Error('stopped'))
  const stopped = retry(work, { ...options, onRetry, signal: stop.signal })
  assert.match(await messageOf(stopped), /abort|stopped/)
  assert.is(calls(), 1)
})

test.run()
