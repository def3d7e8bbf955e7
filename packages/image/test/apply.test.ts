import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { local } from '@talosmith/core'
import { temporaryFolder, within } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { removePartial } from '../src/apply.ts'
import { partialFolder } from '../src/observe.ts'

/** What a transfer has put beside its image so far. */
function begun(): { image: string; folder: string } {
  const image = join(temporaryFolder('apply'), 'talos.raw')
  const folder = partialFolder(image)
  mkdirSync(folder)
  writeFileSync(join(folder, 'raw'), 'half')
  return { image, folder }
}

test('what a stopped transfer left goes', async () => {
  const { image, folder } = begun()
  await removePartial(image, local)
  assert.not(existsSync(folder))
  await removePartial(image, local)
})

test('what a transfer has that is at work stays', async () => {
  const { image, folder } = begun()
  const transfer = spawn('sh', ['-c', `exec 8>>${folder}/lock; flock 8; echo locked; exec cat`])
  try {
    await within(10_000, 'the lock', once(transfer.stdout, 'data'))
    await removePartial(image, local)
    assert.ok(existsSync(join(folder, 'raw')))
  } finally {
    transfer.kill()
  }
})

test.run()
