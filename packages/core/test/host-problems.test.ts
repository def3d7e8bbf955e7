import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { codes } from '../src/codes.ts'
import { firmwareMissing, hostToolsMissing, poolFull } from '../src/host-problems.ts'

test('missing programs are listed with their packages, each once', () => {
  const { code, message, hint } = hostToolsMissing('kvm1', ['qemu-img', 'sha256sum', 'xz', 'curl'])
  assert.is(code, codes.hostToolsMissing)
  assert.is(message, 'kvm1 lacks qemu-img, sha256sum, xz, curl')
  assert.match(hint ?? '', 'apt-get install qemu-utils coreutils xz-utils curl,')
  assert.match(hint ?? '', 'dnf install qemu-img coreutils xz curl')
})

test('a full pool is reported with its free space, and what it is too little for', () => {
  const problem = poolFull({ pool: 'default', host: 'kvm1' }, '3 MiB left', 'an image takes 1246')
  assert.is(problem.message, 'the pool default on kvm1 has 3 MiB left')
  assert.is(problem.because, 'an image takes 1246')
  assert.is(problem.code, 'POOL_FULL')
})

test('missing firmware can be installed, or avoided with UEFI=false', () => {
  assert.match(firmwareMissing('kvm1').hint ?? '', /ovmf.*UEFI=false/)
})

test.run()
