import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { headerBytes, readQcow2 } from '../src/qcow2.ts'

test('reads what qemu-img writes', () => {
  if (!existsSync('/usr/bin/qemu-img')) return
  const folder = temporaryFolder('qcow2')
  const run = (...args: string[]): void => void execFileSync('qemu-img', args, { stdio: 'pipe' })
  const base = join(folder, 'a base image with a long name.raw')
  const overlay = join(folder, 'overlay.qcow2')
  run('create', '-f', 'raw', base, '1G')
  run('create', '-f', 'qcow2', '-F', 'raw', '-b', base, overlay, '20G')
  const header = readFileSync(overlay).subarray(0, headerBytes)
  assert.equal(readQcow2(header), { virtualBytes: 20 * 2 ** 30, backing: base })
  run('create', '-f', 'qcow2', overlay, '1G')
  assert.equal(readQcow2(readFileSync(overlay).subarray(0, headerBytes)), {
    virtualBytes: 2 ** 30,
    backing: undefined,
  })
})

test('knows that a file is no qcow2', () => {
  assert.is(readQcow2(Buffer.alloc(4096)), undefined)
  assert.is(readQcow2(Buffer.from('QFI')), undefined)
})

test.run()
