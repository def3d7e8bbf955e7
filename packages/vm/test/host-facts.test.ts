import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kvmProblem, offersUefi, parseNetworkXml, parseStats, typeFor } from '../src/host-facts.ts'

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

test('parses the address and the DHCP range of a libvirt network', () => {
  const xml = `<network><ip family='ipv6' address='fd00::1' prefix='64'/>
    <ip address='192.168.122.1' netmask='255.255.255.0'>
      <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>`
  assert.equal(parseNetworkXml(xml), {
    dhcp: ['192.168.122.2', '192.168.122.254'],
    address: { address: '192.168.122.1', prefixLength: 24 },
  })
  const byPrefix = "<network><ip family='ipv4' address='10.1.0.1' prefix='16'/></network>"
  assert.equal(parseNetworkXml(byPrefix).address, { address: '10.1.0.1', prefixLength: 16 })
  const shuffled = `<network><ip prefix="25" address="10.1.0.129"><dhcp>
    <host mac="52:54:00:00:00:01" ip="10.1.0.130"/><range end="10.1.0.250" start="10.1.0.131">
    <lease expiry="1"/></range></dhcp></ip></network>`
  assert.equal(parseNetworkXml(shuffled), {
    dhcp: ['10.1.0.131', '10.1.0.250'],
    address: { address: '10.1.0.129', prefixLength: 25 },
  })
  const bridged = "<network><forward mode='bridge'/><bridge name='br0'/></network>"
  assert.equal(parseNetworkXml(bridged), { dhcp: undefined, address: undefined })
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
