import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findPrivilege } from '../../src/host/privilege.ts'
import { Problem } from '../../src/problem.ts'

const privilege = (...lines: string[]) =>
  findPrivilege('ann@kvm1', async () => ({ stdout: lines.join('\n'), stderr: '', exitCode: 0 }))

test('root needs nothing more', async () => {
  assert.is(await privilege('user root', 'groups root', 'root', ''), 'root')
})

test('sudo without a password is preferred to the group, since it can write the files too', async () => {
  assert.is(await privilege('user ann', 'groups ann libvirt', 'sudo', ''), 'sudo')
})

test('a connection to libvirt is enough, whichever group or rule allows it', async () => {
  const lines = ['user ann', 'groups ann libvirtd', 'sudo-denied x', 'libvirt', '']
  assert.is(await privilege(...lines), 'libvirt')
})

test('what the startup files of a login shell print does not count', async () => {
  assert.is(await privilege('Welcome to kvm1', '0', ...['user ann', 'groups ann', 'sudo']), 'sudo')
})

test('a user with none of them gets the reason', async () => {
  try {
    const denied =
      "libvirt-denied error: Failed to connect socket to '/run/libvirt': Permission denied"
    const lines = ['groups ann libvirt-dnsmasq', 'sudo-denied sudo: a password is required', denied]
    await privilege('user ann', ...lines, '')
    assert.unreachable()
  } catch (error) {
    assert.ok(error instanceof Problem)
    assert.is(error.code, 'HOST_NO_PRIVILEGE')
    assert.match(error.because ?? '', 'ann libvirt-dnsmasq')
    assert.match(error.because ?? '', 'a password is required')
    assert.match(error.because ?? '', "to '/run/libvirt': Permission denied")
    assert.match(error.hint ?? '', 'usermod -aG libvirt ann')
  }
})

test.run()
