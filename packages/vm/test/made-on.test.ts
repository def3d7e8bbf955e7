import { problemOf, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkHosts, forgetHosts, rememberHosts } from '../src/made-on.ts'

const root = temporaryFolder('made-on')
const on = (uri: string) => testCluster({ LIBVIRT_URI: uri }, root)

test.after.each(() => forgetHosts(on('qemu:///system')))

test('a cluster that was never made may be made anywhere', async () => {
  await checkHosts(on('qemu:///system'))
})

test('names both hosts when LIBVIRT_URI no longer names the one with the machines', async () => {
  await rememberHosts(on('qemu+ssh://root@old/system?keyfile=/k'))
  const problem = await problemOf(checkHosts(on('qemu+ssh://root@new/system')))
  assert.is(problem.code, 'HOSTS_CHANGED')
  assert.match(
    problem.message,
    'qemu+ssh://root@old/system; LIBVIRT_URI now says qemu+ssh://root@new',
  )
  assert.not.match(problem.message, 'keyfile')
})

test('another user, other options and further hosts are no change', async () => {
  await rememberHosts(on('qemu+ssh://root@old/system?keyfile=/k'))
  await checkHosts(on('qemu+ssh://admin@old/system,qemu+ssh://root@new/system'))
})

test('what was forgotten no longer binds', async () => {
  await rememberHosts(on('qemu+ssh://root@old/system'))
  await forgetHosts(on('qemu:///system'))
  await checkHosts(on('qemu:///system'))
})

test.run()
