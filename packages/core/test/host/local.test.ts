import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { local } from '../../src/host/local.ts'
import { openHost } from '../../src/host/open.ts'
import { localTransport } from '../../src/process/local-transport.ts'
import { runner } from '../../src/process/run.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'
import { ended, hostSuite } from './host-behaviour.ts'

hostSuite('this machine', async () => local).run()

const test = suite('local')

test('a command ends when the program that started it is killed', async () => {
  const folder = temporaryFolder('local')
  const module = fileURLToPath(new URL('../../src/host/local.ts', import.meta.url))
  const code = `import { local } from ${JSON.stringify(module)}
await local.$\`echo $$ >\${${JSON.stringify(join(folder, 'pid'))}}; sleep 60 | cat\``
  const program = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    stdio: 'inherit',
  })
  const exited = once(program, 'exit')
  while (!existsSync(join(folder, 'pid')) && program.exitCode === null) await sleep(20)
  program.kill('SIGKILL')
  await exited
  await ended(join(folder, 'pid'), 1)
})

// As sudo does with use_pty: the command runs in another session than the process started here.
test('a command of another user is ended by a timeout too', async () => {
  const folder = temporaryFolder('local')
  const run = runner('as root', localTransport, { become: ['setsid', '-w', '--'] })
  await run(`echo $$ >${join(folder, 'pid')}; sleep 60 | cat`, { timeoutMs: 1000, nothrow: true })
  await ended(join(folder, 'pid'), 1)
  assert.is((await run('cat', { input: 'through' })).stdout, 'through')
})

test('a command without a time limit has that of its host; one may have none', async () => {
  const run = runner('kvm1', localTransport, { limitMs: 500 })
  const failed = await run('sleep 60', {}).catch((error: Error) => error.message)
  assert.is(failed, 'sleep 60 did not end within 0.5 s')
  assert.is((await run('sleep 1; echo done', { timeoutMs: Infinity })).stdout, 'done\n')
})

test('an error that no one expected is printed without command and output', async () => {
  const { signal } = new AbortController()
  const error: unknown = await local.$({
    signal,
  })`echo nightfall; echo ${'night fall'} >/dev/null; echo odd >&2; exit 3`.catch(
    (thrown: unknown) => thrown,
  )
  const text = inspect(new Error('a bug', { cause: error }))
  assert.match(text, 'odd')
  assert.match(text, 'exitCode: 3')
  assert.not.match(text, /night ?fall/)
  const silent: unknown = await local.$`echo token: nightfall; exit 3`.catch(
    (thrown: unknown) => thrown,
  )
  assert.is(
    silent instanceof Error && silent.message,
    'echo token: exited with 3: token: [removed]',
  )
})

const asRoot = process.getuid?.() === 0 ? test : test.skip
asRoot('qemu:///system is this machine, without SSH', async () => {
  const host = await openHost('qemu:///system', '/')
  assert.is(host.name, 'this machine')
  assert.ok(host.isLocal)
  assert.is((await host.$`echo ${'here'}`).stdout, 'here\n')
})

test.run()
