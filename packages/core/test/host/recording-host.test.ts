import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CommandFailed } from '../../src/process/shell.ts'
import { recordingHost } from '../../src/testing/recording-host.ts'

test('matches by command, by its beginning, by pattern, in order', async () => {
  const host = recordingHost({
    'virsh list': 'one\n',
    '/^virsh dom/': { stdout: 'two\n', stderr: 'warned\n' },
    virsh: 'any\n',
  })
  assert.is((await host.$`virsh list`).stdout, 'one\n')
  assert.is((await host.$`virsh list --all`).stdout, 'one\n')
  assert.is((await host.$`virsh dominfo ${'a b'}`).stderr, 'warned\n')
  assert.is((await host.$`virsh listing`).stdout, 'any\n')
  assert.equal(host.commands, [
    'virsh list',
    'virsh list --all',
    "virsh dominfo 'a b'",
    'virsh listing',
  ])
})

test('a command without a result is an error', async () => {
  const error = await recordingHost().$`rm -rf ${'/'}`.catch((thrown: unknown) => thrown)
  assert.match((error as Error).message, 'no answer to: rm -rf /')
})

test('fails like a real host, but not with nothrow', async () => {
  const host = recordingHost({ false: { exitCode: 1, stderr: 'no\n' } })
  const error = await host.$`false`.catch((thrown: unknown) => thrown)
  assert.instance(error, CommandFailed)
  assert.is((error as CommandFailed).message, 'false exited with 1: no')
  assert.is((await host.$({ nothrow: true })`false`).exitCode, 1)
})

test('a command that begins with its name fails by that name', async () => {
  const host = recordingHost({ ':': { exitCode: 1, stderr: 'no\n' } })
  const error = await host.$`: create the disk
eval "$POOL_FILES"`.catch((thrown: unknown) => thrown)
  assert.is((error as CommandFailed).message, 'create the disk exited with 1: no')
})

test('throws a prepared error, and calls a function', async () => {
  const lost = new Error('lost')
  const host = recordingHost((command) => (command === 'a' ? lost : 'fine'))
  assert.is(await host.$`a`.catch((thrown: unknown) => thrown), lost)
  assert.is((await host.$`b`).stdout, 'fine')
})

test('records files and inputs, and passes lines to onLine', async () => {
  const host = recordingHost({ 'cat -- /there': 'text', tee: 'one\ntwo\n' })
  await host.write('/a b', 'x', { mode: 0o600 })
  await host.upload('/from', '/to')
  assert.is(await host.read('/a b'), 'x')
  assert.is(await host.read('/there'), 'text')
  const lines: string[] = []
  await host.$({ input: 'in', onLine: (line) => lines.push(line) })`tee`
  assert.equal(lines, ['one', 'two'])
  assert.is(host.inputs.get('tee'), 'in')
  assert.equal(host.written.get('/a b'), { text: 'x', mode: 0o600 })
  assert.equal(host.commands, [
    "write '/a b'",
    'upload /from /to',
    "cat -- '/a b'",
    'cat -- /there',
    'tee',
  ])
})

test.run()
