import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { connectionsOf } from '../../src/host/connections.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { hasSshd, startSshd } from '../../src/testing/sshd.ts'

if (hasSshd)
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
else console.log('SKIPPED: two connections to one host need root and /usr/sbin/sshd')

test.run()
