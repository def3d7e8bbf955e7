import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkHosts, forgetHosts, rememberHosts } from '../src/made-on.ts'

const root = temporaryFolder('made-on')
const on = (uri: string) => testCluster({ LIBVIRT_URI: uri }, root)

test.after.each(() => forgetHosts(on('qemu:///system')))

test('a cluster without a record may be created on any host', async () => {
  await checkHosts(on('qemu:///system'))
})

test('names both hosts when the one with the machines is no longer in LIBVIRT_URI', async () => {
  await rememberHosts(on('qemu+ssh://root@old/system?keyfile=/k'))
  const problem = await problemOf(checkHosts(on('qemu+ssh://root@new/system')))
  assert.is(problem.code, 'HOSTS_CHANGED')
  assert.match(
    problem.message,
    'qemu+ssh://root@old/system; LIBVIRT_URI is now qemu+ssh://root@new',
  )
  assert.not.match(problem.message, 'keyfile')
})

test('another user, other options and further hosts are no change', async () => {
  await rememberHosts(on('qemu+ssh://root@old/system?keyfile=/k'))
  await checkHosts(on('qemu+ssh://admin@old/system,qemu+ssh://root@new/system'))
})

test('without the record any host is accepted', async () => {
  await rememberHosts(on('qemu+ssh://root@old/system'))
  await forgetHosts(on('qemu:///system'))
  await checkHosts(on('qemu:///system'))
})

test.run()
