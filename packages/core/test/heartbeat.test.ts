import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { withHeartbeat } from '../src/heartbeat.ts'

test('work that prints nothing is told to go on, until it ends', async () => {
  const beats: number[] = []
  const result = await withHeartbeat(
    () => sleep(60, 'installed'),
    (seconds) => beats.push(seconds),
    5,
  )
  const count = beats.length
  assert.is(result, 'installed')
  assert.ok(count >= 2, `${count} beats`)
  await sleep(20)
  assert.is(beats.length, count)
})

test('work that fails ends it, too', async () => {
  let beats = 0
  const failing = async (): Promise<never> => {
    throw new Error('no such image')
  }
  const error: unknown = await withHeartbeat(failing, () => beats++, 1).catch((one: unknown) => one)
  assert.match(String(error), 'no such image')
  await sleep(10)
  assert.is(beats, 0)
})

test.run()
