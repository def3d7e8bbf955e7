import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { local } from '../../src/host/local.ts'
import { openHost } from '../../src/host/open.ts'
import { hostSuite } from './host-behaviour.ts'

hostSuite('this machine', async () => local).run()

const test = suite('local')

test('a command ends when the program that started it is killed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'talosmith-local-'))
  const module = fileURLToPath(new URL('../../src/host/local.ts', import.meta.url))
  const code = `import { local } from ${JSON.stringify(module)}
await local.$\`touch \${${JSON.stringify(join(folder, 'begun'))}}; sleep 1.5 | cat; touch \${${JSON.stringify(join(folder, 'ended'))}}\``
  const program = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    stdio: 'inherit',
  })
  const exited = once(program, 'exit')
  while (!existsSync(join(folder, 'begun')) && program.exitCode === null) await sleep(20)
  program.kill('SIGKILL')
  await exited
  await sleep(2000)
  assert.ok(existsSync(join(folder, 'begun')))
  assert.not.ok(existsSync(join(folder, 'ended')))
  await rm(folder, { recursive: true })
})

test('qemu:///system is this machine, without SSH', async () => {
  const host = await openHost('qemu:///system', '/')
  assert.is(host.name, 'this machine')
  assert.ok(host.isLocal)
  assert.is((await host.$`echo ${'here'}`).stdout, 'here\n')
})

test.run()
