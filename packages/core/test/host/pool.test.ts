import { existsSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { local } from '../../src/host/local.ts'
import { poolPath } from '../../src/host/pool.ts'
import { virshOn, type BatchResult } from '../../src/host/virsh.ts'
import { Problem } from '../../src/problem.ts'
import { recordingHost } from '../../src/testing/recording-host.ts'

const xml = (type: string, target = '<path>/srv/a &amp; b</path>'): string =>
  `<pool type='${type}'>\n  <name>tank</name>\n  <target>${target}</target>\n</pool>`
const pool =
  (...results: BatchResult[]) =>
  async (): Promise<BatchResult[]> =>
    results
const path = (...results: BatchResult[]): Promise<string> =>
  poolPath(recordingHost(), 'tank', pool(...results))

test('is the folder of an active pool', async () => {
  assert.is(
    await path({ stdout: xml('dir') }, { stdout: 'tank' }, { stdout: 'tank' }),
    '/srv/a & b',
  )
})

test('a pool that does not exist: the others are listed', async () => {
  const problem = await refusal(
    path(
      { stdout: '', error: 'Storage pool not found' },
      { stdout: 'default\n images' },
      { stdout: '' },
    ),
  )
  assert.is(problem.code, 'POOL_NOT_FOUND')
  assert.match(problem.message, 'root@kvm1')
  assert.match(problem.hint ?? '', 'STORAGE_POOL to one of: default, images')
})

test('a host without any pool: how to create one', async () => {
  const problem = await refusal(path({ stdout: '', error: 'x' }, { stdout: '' }, { stdout: '' }))
  assert.match(problem.hint ?? '', 'virsh pool-define-as tank dir')
})

test('an inactive pool: how to start it', async () => {
  const problem = await refusal(
    path({ stdout: xml('dir') }, { stdout: 'tank' }, { stdout: 'tank2' }),
  )
  assert.is(problem.code, 'POOL_INACTIVE')
  assert.match(problem.hint ?? '', 'virsh pool-start tank')
})

test('a pool that is not a folder', async () => {
  for (const [type, target] of Object.entries({ logical: '<path>/dev/vg</path>', rbd: '' })) {
    const problem = await refusal(
      path({ stdout: xml(type, target) }, { stdout: 'tank' }, { stdout: 'tank' }),
    )
    assert.is(problem.code, 'POOL_NOT_A_FOLDER')
    assert.match(problem.message, type)
  }
})

test('runs a real virsh in one process', async () => {
  if (!existsSync('/usr/bin/virsh')) return console.log('SKIPPED: needs /usr/bin/virsh')
  const { virshBatch } = virshOn('test:///default')
  assert.is(await poolPath(local, 'default-pool', virshBatch), '/default-pool')
  assert.is((await refusal(poolPath(local, 'nope', virshBatch))).code, 'POOL_NOT_FOUND')
})

async function refusal(promise: Promise<unknown>): Promise<Problem> {
  const error = await promise.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  )
  if (error instanceof Problem) return error
  throw error
}

test.run()
