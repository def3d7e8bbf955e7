import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { codes } from '../src/codes.ts'
import { firmwareMissing, hostToolsMissing, poolFull } from '../src/host-problems.ts'

test('missing programs come with the packages that hold them, each once', () => {
  const { code, message, hint } = hostToolsMissing('kvm1', ['qemu-img', 'sha256sum', 'xz', 'curl'])
  assert.is(code, codes.hostToolsMissing)
  assert.is(message, 'kvm1 lacks qemu-img, sha256sum, xz, curl')
  assert.match(hint ?? '', 'apt-get install qemu-utils coreutils xz-utils curl,')
  assert.match(hint ?? '', 'dnf install qemu-img coreutils xz curl')
})

test('a full pool says how much is left, and for what it is too little', () => {
  const problem = poolFull({ pool: 'default', host: 'kvm1' }, '3 MiB left', 'an image takes 1246')
  assert.is(problem.message, 'the pool default on kvm1 has 3 MiB left')
  assert.is(problem.because, 'an image takes 1246')
  assert.is(problem.code, 'POOL_FULL')
})

test('missing firmware is no reason to give up: it can be installed, or gone without', () => {
  assert.match(firmwareMissing('kvm1').hint ?? '', /ovmf.*UEFI=false/)
})

test.run()
