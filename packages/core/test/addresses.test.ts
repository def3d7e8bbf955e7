import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  addressAt,
  broadcastOf,
  contains,
  isBetween,
  prefixLengthOf,
  prefixLengthOfMask,
} from '../src/addresses.ts'

test('counts addresses from the first of a network', () => {
  assert.is(addressAt('10.0.0.0/24', 0), '10.0.0.0')
  assert.is(addressAt('10.0.0.0/16', 300), '10.0.1.44')
  assert.is(addressAt('192.168.0.0/16', 65_535), '192.168.255.255')
  assert.is(addressAt('255.255.255.0/24', 256), '0.0.0.0')
})

test('knows the last address and the prefix length of a network', () => {
  assert.is(broadcastOf('10.0.0.0/29'), '10.0.0.7')
  assert.is(broadcastOf('172.16.0.0/12'), '172.31.255.255')
  assert.is(prefixLengthOf('10.0.0.0/29'), 29)
})

test('an address is in a network by its bits, however the network is written', () => {
  assert.ok(contains('10.0.0.0/23', '10.0.1.255'))
  assert.not.ok(contains('10.0.0.0/23', '10.0.2.0'))
  assert.ok(contains('192.168.122.1/24', '192.168.122.200'))
  assert.not.ok(contains('192.168.122.1/24', '192.168.12.200'))
})

test('an address is in a range by its number, ends included', () => {
  const inRange = (address: string): boolean => isBetween(address, '10.0.0.9', '10.0.1.100')
  for (const address of ['10.0.0.9', '10.0.0.10', '10.0.0.200', '10.0.1.0', '10.0.1.100'])
    assert.ok(inRange(address), address)
  for (const address of ['10.0.0.8', '10.0.1.101', '9.255.255.255', '100.0.0.50'])
    assert.not.ok(inRange(address), address)
})

test('a netmask has a prefix length, unless its bits are not contiguous', () => {
  assert.is(prefixLengthOfMask('255.255.255.0'), 24)
  assert.is(prefixLengthOfMask('255.255.254.0'), 23)
  assert.is(prefixLengthOfMask('0.0.0.0'), 0)
  assert.is(prefixLengthOfMask('255.0.255.0'), undefined)
})

test.run()
