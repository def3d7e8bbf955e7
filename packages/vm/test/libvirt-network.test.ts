import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseLeases, parseNetworkXml, readNetwork } from '../src/libvirt-network.ts'

const xml = `<network><name>default</name><forward mode='nat'/><bridge name='virbr0' stp='on'/>
  <ip family='ipv6' address='fd00::1' prefix='64'><dhcp><host id='0:1' name='six' ip='fd00::9'/></dhcp></ip>
  <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>
    <range start='192.168.122.2' end='192.168.122.99'/>
    <range start='192.168.122.200' end='192.168.122.254'><lease expiry='1'/></range>
    <host mac='52:54:00:AA:BB:01' name='nas' ip='192.168.122.70'/><host mac='52:54:00:aa:bb:02' ip='192.168.122.71'/>
    <host name='printer' ip='192.168.122.72'/>
  </dhcp></ip></network>`

test('reads address, bridge, DHCP ranges and reservations of a libvirt network', () => {
  assert.equal(parseNetworkXml(xml), {
    ranges: [
      ['192.168.122.2', '192.168.122.99'],
      ['192.168.122.200', '192.168.122.254'],
    ],
    address: { address: '192.168.122.1', prefixLength: 24 },
    bridge: 'virbr0',
    forward: 'nat',
    devices: [],
    reservations: [
      { mac: '52:54:00:aa:bb:01', name: 'nas', address: '192.168.122.70' },
      { mac: '52:54:00:aa:bb:02', name: '', address: '192.168.122.71' },
      { mac: '', name: 'printer', address: '192.168.122.72' },
    ],
    dhcpIndex: 1,
  })
})

test('reads a network with a prefix, and one on a bridge of the host', () => {
  const byPrefix = "<network><ip family='ipv4' address='10.1.0.1' prefix='16'/></network>"
  assert.equal(parseNetworkXml(byPrefix).address, { address: '10.1.0.1', prefixLength: 16 })
  const bridged = "<network><forward mode='bridge'/><bridge name='br0'/></network>"
  const none = {
    ...{ ranges: [], address: undefined, reservations: [], dhcpIndex: undefined },
    ...{ bridge: undefined, forward: undefined, devices: [] },
  }
  assert.equal(parseNetworkXml(bridged), { ...none, bridge: 'br0', forward: 'bridge' })
  assert.equal(parseNetworkXml(''), none)
})

test('reads the interfaces of a macvtap network, and the default forward mode', () => {
  const xmlOf = (forward: string): string => `<network><name>lan</name>${forward}</network>`
  const read = (forward: string) => {
    const { forward: mode, devices } = parseNetworkXml(xmlOf(forward))
    return [mode, ...devices]
  }
  const two =
    "<forward mode='bridge' dev='eth0'><interface dev='eth0'/><interface dev='eth1'/></forward>"
  assert.equal(read(two), ['bridge', 'eth0', 'eth1'])
  assert.equal(read("<forward mode='private'><interface dev='br0'/></forward>"), ['private', 'br0'])
  assert.equal(read("<forward dev='eth0'/>"), ['nat', 'eth0'])
  assert.equal(read(''), [undefined])
})

test('reads the IPv4 leases in force', () => {
  const text = ` Expiry Time           MAC address         Protocol   IP address           Hostname   Client ID
---------------------------------------------------------------------------------------------------
 2026-11-30 23:59:01   52:54:00:AA:bb:05   ipv4       192.168.122.75/24    -          ff:00:01
 2026-11-30 23:59:02   52:54:00:aa:bb:06   ipv4       192.168.122.76/24    vm6        -
 2026-11-30 23:59:03   52:54:00:aa:bb:07   ipv6       fd00::76/64          vm7        -
`
  assert.equal(parseLeases(text), [
    { mac: '52:54:00:aa:bb:05', name: '-', address: '192.168.122.75' },
    { mac: '52:54:00:aa:bb:06', name: 'vm6', address: '192.168.122.76' },
  ])
})

test('a network that is not active has no live reservations', () => {
  const scopes = (isActive: boolean) => [
    ...readNetwork([xml, xml], { isActive }).reservations.keys(),
  ]
  assert.equal(scopes(true), ['live', 'config'])
  assert.equal(scopes(false), ['config'])
})

test.run()
