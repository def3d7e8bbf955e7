import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withoutServices } from '../src/packages.ts'

const folder = temporaryFolder('policy')
const policy = join(folder, 'policy-rc.d')
const read = (): string => readFileSync(policy, 'utf8')
const services = suite('services of packages')
services.before.each(() => rmSync(policy, { force: true }))

services('start no more while packages are installed, and again afterwards', async () => {
  await withoutServices(async () => assert.match(read(), /^#!.*exit 101\n$/s), policy)
  assert.not(existsSync(policy))
})

services('start again although the work failed', async () => {
  await withoutServices(() => Promise.reject(new Error('no')), policy).catch(() => undefined)
  assert.not(existsSync(policy))
})

services('start again although a run before was killed', async () => {
  let left = ''
  await withoutServices(async () => void (left = read()), policy)
  writeFileSync(policy, left)
  await withoutServices(async () => undefined, policy)
  assert.not(existsSync(policy))
})

services("follow the operator's own policy, which stays", async () => {
  writeFileSync(policy, '#!/bin/sh\nexit 101\n')
  await withoutServices(async () => undefined, policy)
  assert.is(read(), '#!/bin/sh\nexit 101\n')
})

services.run()
