import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findPrivilege } from '../../src/host/privilege.ts'
import { Problem } from '../../src/problem.ts'

const privilege = (...lines: string[]) =>
  findPrivilege('ann@kvm1', async () => ({ stdout: lines.join('\n'), stderr: '', exitCode: 0 }))

test('root needs nothing more', async () => {
  assert.is(await privilege('0', 'root', 'root', 'root', ''), 'root')
})

test('sudo without a password is preferred to the group, since it can write the files too', async () => {
  assert.is(await privilege('1000', 'ann', 'ann libvirt', 'sudo', ''), 'sudo')
})

test('the libvirt group is enough for virsh', async () => {
  assert.is(await privilege('1000', 'ann', 'ann libvirt', 'no sudo: x', ''), 'libvirt-group')
})

test('a user with none of them gets the reason', async () => {
  try {
    await privilege('1000', 'ann', 'ann libvirt-dnsmasq', 'no sudo: a password is required', '')
    assert.unreachable()
  } catch (error) {
    assert.ok(error instanceof Problem)
    assert.is(error.code, 'HOST_NO_PRIVILEGE')
    assert.match(error.because ?? '', 'ann libvirt-dnsmasq')
    assert.match(error.because ?? '', 'a password is required')
    assert.match(error.hint ?? '', 'usermod -aG libvirt ann')
  }
})

test.run()
