import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kvmProblem, offersUefi, parseStats, typeFor } from '../src/host-facts.ts'

test('detects UEFI firmware in domcapabilities', () => {
  const capabilities = (values: string): string =>
    `<domainCapabilities>\n<os supported='yes'>\n <enum name='firmware'>\n${values} </enum>\n <loader supported='yes'>\n  <enum name='type'>\n   <value>efi</value>\n  </enum>\n </loader>\n</os>\n</domainCapabilities>`
  assert.ok(offersUefi(capabilities('  <value>bios</value>\n  <value>efi</value>\n')))
  assert.not.ok(offersUefi(capabilities('  <value>bios</value>\n')))
  assert.not.ok(offersUefi(capabilities('')))
  assert.not.ok(offersUefi(''))
})

test('KVM needs the device, the CPU flag and libvirt; the missing one is named', () => {
  const good = { hasDevice: true, hasFlag: true, libvirtOffers: true }
  assert.is(kvmProblem(good), undefined)
  assert.match(kvmProblem({ ...good, hasDevice: false }) ?? '', '/dev/kvm')
  assert.match(kvmProblem({ ...good, hasFlag: false }) ?? '', 'vmx nor svm')
  assert.match(kvmProblem({ ...good, libvirtOffers: false }) ?? '', 'domcapabilities')
})

test('auto is KVM where it can be used; an explicit type is kept', () => {
  assert.is(typeFor('auto', undefined), 'kvm')
  assert.is(typeFor('auto', 'no'), 'qemu')
  assert.is(typeFor('qemu', undefined), 'qemu')
  assert.is(typeFor('kvm', 'no'), 'kvm')
})

test('parses states, memory and CPUs of all domains at once', () => {
  const text = `Domain: 'a'
  state.state=1
  state.reason=1
  balloon.current=2097152
  balloon.maximum=2097152
  vcpu.current=2
  vcpu.maximum=2

Domain: 'b'
  state.state=5
  vcpu.current=4

Domain: 'c d'
  state.state=7
`
  const stats = parseStats(text)
  assert.equal(stats.get('a'), { state: 'running', memoryMib: 2048, cpu: 2 })
  assert.equal(stats.get('b'), { state: 'shut off', memoryMib: undefined, cpu: 4 })
  assert.is(stats.get('c d')?.state, 'pmsuspended')
  assert.is(parseStats('').size, 0)
})

test.run()
