import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { connectionsOf, type Connections } from '../../src/host/connections.ts'
import { newHostLock } from '../../src/host/host-lock.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { hasSshd, startSshd } from '../../src/testing/sshd.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

if (hasSshd) {
  test('of two checkouts that use one cluster at once over SSH, one gets on its host', async () => {
    const sshd = await startSshd()
    const folder = join(temporaryFolder('locks'), 'locks')
    const settings = { LIBVIRT_URI: [sshd.uri] }
    const commands = ['scripts/up.ts', 'scripts/destroy.ts']
    const runOf = (command: string): Connections => {
      const lock = { ...newHostLock('home', command, assert.unreachable), folder }
      return connectionsOf({ settings, root: '/' } as never, lock)
    }
    const runs = commands.map(runOf)
    const results = await Promise.allSettled(runs.map((one) => Promise.all(one.each())))
    const won = results.findIndex(({ status }) => status === 'fulfilled')
    const lost = await problemOf(Promise.all(runs[1 - won]?.each() ?? []))
    assert.is(lost.code, 'LOCKED')
    assert.match(lost.because ?? '', `has been running ${commands[won]}`)
    // The one that lost does not free the lock of the other.
    await runs[1 - won]?.close()
    const third = runOf('third')
    assert.is((await problemOf(Promise.all(third.each()))).code, 'LOCKED')
    await third.close()
    await runs[won]?.close()
    const next = runOf('next')
    await Promise.all(next.each())
    await next.close()
    await sshd.stop()
  })

  test('a host that two names reach is refused, by both', async () => {
    const sshd = await startSshd()
    const settings = { LIBVIRT_URI: ['qemu:///system', sshd.uri] }
    const connections = connectionsOf({ settings, root: '/' } as never)
    const problem = await problemOf(Promise.all(connections.each()))
    assert.is(problem.code, 'HOST_TWICE')
    for (const uri of settings.LIBVIRT_URI) assert.ok(problem.message.includes(uri))
    await connections.close()
    await sshd.stop()
  })
} else console.log('SKIPPED: two connections to one host need root and /usr/sbin/sshd')

test.run()
