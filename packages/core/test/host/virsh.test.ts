import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { local } from '../../src/host/local.ts'
import { virshOn } from '../../src/host/virsh.ts'
import { Problem } from '../../src/problem.ts'
import { CommandFailed } from '../../src/process/shell.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { recordingHost } from '../../src/testing/recording-host.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'
import { within } from '../../src/testing/within.ts'

// libvirt's own test driver: one running domain 'test', kept in the virsh process.
const { virsh, virshBatch } = virshOn('test:///default')

if (existsSync('/usr/bin/virsh')) {
  const test = suite('virsh')

  test('returns the output of virsh', async () => {
    assert.is(await virsh(local, 'list', '--name'), 'test')
  })

  test('an error is CommandFailed with the message of virsh', async () => {
    const error = await virsh(local, 'dominfo', 'nope').catch((thrown: unknown) => thrown)
    assert.instance(error, CommandFailed)
    assert.is(
      (error as CommandFailed).message,
      "virsh dominfo nope exited with 1: failed to get domain 'nope'",
    )
  })

  test('a batch returns results in order, including failures', async () => {
    const results = await virshBatch(local, [
      ['domstate', 'test'],
      ['dominfo', 'nope'],
      ['domid', 'test'],
      ['net-info', 'missing network'],
    ])
    assert.equal(results[0], { stdout: 'running' })
    assert.equal(results[1], { stdout: '', error: "failed to get domain 'nope'" })
    assert.equal(results[2], { stdout: '1' })
    assert.match(results[3]?.error ?? '', "failed to get network 'missing network'")
    assert.is(results.length, 4)
  })

  test('the commands of a batch share one process', async () => {
    const results = await virshBatch(local, [
      ['suspend', 'test'],
      ['domstate', 'test'],
    ])
    assert.is(results[1]?.stdout, 'paused')
  })

  for (const text of [`a 'b' "c"`, 'semi; colon', 'two\nlines', 'back\\slash', '$x `y`', '--opt=#'])
    test(`a batch passes ${JSON.stringify(text)} unchanged`, async () => {
      const [, result] = await virshBatch(local, [
        ['desc', 'test', text.replace(/^--/, '')],
        ['desc', 'test'],
      ])
      assert.is(result?.stdout, text.replace(/^--/, ''))
    })

  test('a batch too long for one process is split, and stays in order', async () => {
    const commands = Array.from({ length: 3000 }, (_, index) =>
      index % 3 === 0 ? ['domid', 'test'] : ['dominfo', `missing-${index}-${'x'.repeat(40)}`],
    )
    const results = await virshBatch(local, commands)
    assert.is(results.length, 3000)
    results.forEach((result, index) => {
      if (index % 3 === 0) assert.equal(result, { stdout: '1' })
      else assert.match(result.error ?? '', `missing-${index}-`)
    })
  })

  test('an empty batch runs nothing', async () => {
    assert.equal(await virshBatch(recordingHost({}), []), [])
  })

  test('a command that virsh does not know fails the batch with its error', async () => {
    const error = await virshBatch(local, [['domid', 'test'], ['bogus']]).catch(
      (thrown: unknown) => thrown,
    )
    assert.instance(error, CommandFailed)
    assert.match((error as CommandFailed).message, "unknown command: 'bogus'")
  })

  test('a connection that does not exist is LIBVIRT_UNREACHABLE, alone and in a batch', async () => {
    const absent = virshOn('qemu+unix:///system?socket=/nonexistent/libvirt-sock')
    for (const command of [
      () => absent.virsh(local, 'list'),
      () => absent.virshBatch(local, [['list']]),
    ]) {
      const error = await command().catch((thrown: unknown) => thrown)
      assert.instance(error, Problem)
      assert.is((error as Problem).code, 'LIBVIRT_UNREACHABLE')
      assert.match((error as Problem).because ?? '', 'Failed to connect socket')
    }
  })

  test('a libvirt that accepts the connection and then hangs is LIBVIRT_UNREACHABLE', async () => {
    const socket = join(temporaryFolder('libvirt'), 'socket')
    const server = createServer(() => undefined).listen(socket)
    const hanging = virshOn(`qemu+unix:///system?socket=${socket}`, {
      queryMs: 1000,
      changeMs: 2000,
    })
    for (const [seconds, command] of [
      [1, () => hanging.virsh(local, 'list')],
      [2, () => hanging.virsh(local, 'start', 'home-cp1')],
      [1, () => hanging.virshBatch(local, [['list'], ['net-list']])],
    ] as const) {
      const error = await within(10_000, 'virsh to be given up', problemOf(command()))
      assert.is(error.code, 'LIBVIRT_UNREACHABLE')
      assert.match(error.because ?? '', new RegExp(`^virsh (list|start) .* within ${seconds} s`))
      assert.match(error.hint ?? '', 'systemctl try-restart libvirtd')
    }
    server.close()
  })

  test.run()
} else console.log('SKIPPED: the tests of virsh need /usr/bin/virsh (libvirt-clients)')

const test = suite('virsh, recorded')

test('talks to the system connection of the host', async () => {
  const host = recordingHost({ virsh: 'x\n\n' })
  const { virsh: system } = await import('../../src/host/virsh.ts')
  assert.is(await system(host, 'dumpxml', 'a b'), 'x')
  assert.equal(host.commands, ["virsh -q -c qemu:///system dumpxml 'a b'"])
})

test('a host without virsh is reported', async () => {
  const host = recordingHost({ virsh: { exitCode: 127, stderr: 'bash: virsh: command not found' } })
  for (const command of [() => virsh(host, 'list'), () => virshBatch(host, [['list']])]) {
    const error = await command().catch((thrown: unknown) => thrown)
    assert.is((error as Problem).code, 'VIRSH_MISSING')
  }
})

test('a user without permission to use libvirt gets a hint', async () => {
  const stderr =
    "error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied\n"
  const host = recordingHost({ virsh: { exitCode: 1, stderr } })
  const error = await virsh(host, 'list').catch((thrown: unknown) => thrown)
  assert.match((error as Problem).hint ?? '', 'usermod -aG libvirt')
})

test.run()
