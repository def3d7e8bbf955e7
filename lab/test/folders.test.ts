import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLock } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { clearFolder, removeIfEmpty } from '../src/folders.ts'

const parent = temporaryFolder('folders')
const folder = join(parent, '.lab')
const lock = { name: 'the lab', generated: folder }
const folders = suite("the lab's folder")

folders('is cleared under its lock, and removed when the lock is released', async () => {
  mkdirSync(join(folder, 'kvm1', 'root'), { recursive: true })
  writeFileSync(join(folder, 'image-parts'), '1')
  await withLock(lock, 'lab:stop', async () => {
    clearFolder(folder, 'lock')
    assert.equal(readdirSync(folder), ['lock'])
    const other = await withLock(lock, 'lab:start', async () => undefined).catch(
      (error: unknown) => error,
    )
    assert.match(String(other), 'another run is changing the lab')
    removeIfEmpty(folder)
  })
  removeIfEmpty(folder)
  assert.not(existsSync(folder))
  removeIfEmpty(folder)
})

folders.run()
