import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { temporaryFolder, within } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { removePartial } from '../src/apply.ts'

/** The files of an unfinished transfer. */
function unfinished(): { image: string; folder: string } {
  const image = join(temporaryFolder('apply'), 'talos.raw')
  const folder = `${image}.partial`
  mkdirSync(folder)
  writeFileSync(join(folder, 'raw'), 'half')
  return { image, folder }
}

test('removes the files of an interrupted transfer', async () => {
  const { image, folder } = unfinished()
  await removePartial(image, local, 'default')
  assert.not(existsSync(folder))
  await removePartial(image, local, 'default')
})

test('keeps the files of a running transfer', async () => {
  const { image, folder } = unfinished()
  const transfer = spawn('sh', ['-c', `exec 8>>${folder}/lock; flock 8; echo locked; exec cat`])
  try {
    await within(10_000, 'the lock', once(transfer.stdout, 'data'))
    await removePartial(image, local, 'default')
    assert.ok(existsSync(join(folder, 'raw')))
  } finally {
    transfer.kill()
  }
})

test.run()
