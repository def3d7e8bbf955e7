import { minorOf, supportedTalosMinors } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { describeSeed, readSeedMarker, encodeSeedMarker } from '../src/seed-iso.ts'
import { clusterId, firstOf } from './observed-hosts.ts'

const cluster = testCluster({ NETWORK_NAMESERVERS: '10.0.0.1, 9.9.9.9' })
const node = firstOf(cluster)

/** A primary volume descriptor with these two fields. */
function descriptor(publisher: string, application: string): Buffer {
  const sector = Buffer.alloc(2048, ' ')
  sector.write(publisher, 318, 'latin1')
  sector.write(application, 574, 'latin1')
  return sector
}

test('meta-data names the machine', () => {
  assert.equal(parse(describeSeed(cluster, node).metaData), {
    'instance-id': 'home-home-cp1',
    'local-hostname': 'home-cp1',
    hostname: 'home-cp1',
  })
})

/**
 * The host name that each version reads from meta-data: MetadataConfig and Nocloud.ParseMetadata in
 * platform/nocloud. Up to 1.10.2 `json:"local-hostname"`, of which yaml.v3 makes the key `internaldns`.
 */
const jsonTagged = (meta: Record<string, string>) => meta['hostname'] || meta['internaldns']
const yamlTagged = (meta: Record<string, string>) => meta['hostname'] || meta['local-hostname']
const readers = {
  'v1.9.6': jsonTagged,
  'v1.10.2': jsonTagged,
  'v1.10.3': yamlTagged,
  'v1.11.6': yamlTagged,
  'v1.12.11': yamlTagged,
  'v1.13.9': yamlTagged,
  'v1.14.0': yamlTagged,
}
for (const [version, nameIn] of Object.entries(readers))
  test(`Talos ${version} reads the machine’s name from meta-data`, () => {
    assert.is(
      nameIn(parse(describeSeed(cluster, node).metaData) as Record<string, string>),
      'home-cp1',
    )
  })

test('every supported minor reads it', () => {
  assert.equal([...new Set(Object.keys(readers).map(minorOf))], supportedTalosMinors)
})

test('seeds from before the key hostname keep their digest, so they are not replaced', () => {
  // Computed by the version before, over instance-id, local-hostname and network-config.
  const plain = testCluster()
  assert.equal(
    plain.nodes.map((each) => describeSeed(plain, each).digest),
    [
      '5202db7e3247169794a6ea9bc0830dbc',
      '6fd6f2b49b299c06fcf306328449c641',
      '234479258c9c881b555c6b0d52395686',
    ],
  )
})

test('network-config is version 2, static, matched by MAC, with name servers', () => {
  assert.equal(parse(describeSeed(cluster, node).networkConfig), {
    version: 2,
    ethernets: {
      eth0: {
        match: { macaddress: node.mac },
        addresses: ['10.0.0.70/24'],
        gateway4: '10.0.0.1',
        nameservers: { addresses: ['10.0.0.1', '9.9.9.9'] },
      },
    },
  })
})

test('a MAC address that has only digits is quoted, because YAML 1.1 would parse a number', () => {
  const digits = testCluster({ MAC_PREFIX: '52:54:00:11:22' })
  assert.match(
    describeSeed(digits, firstOf(digits)).networkConfig,
    /macaddress: "?52:54:00:11:22:01/,
  )
  assert.type(
    parse(describeSeed(digits, firstOf(digits)).networkConfig).ethernets.eth0.match.macaddress,
    'string',
  )
})

test('there is no user-data', () => {
  assert.equal(Object.keys(describeSeed(cluster, node)).sort(), [
    'digest',
    'metaData',
    'networkConfig',
  ])
})

test('the digest changes with the content and with nothing else', () => {
  const same = testCluster({ NETWORK_NAMESERVERS: '10.0.0.1,9.9.9.9', WORKER_CPU: '8' })
  const other = testCluster({ NETWORK_NAMESERVERS: '10.0.0.1' })
  assert.is(describeSeed(same, firstOf(same)).digest, describeSeed(cluster, node).digest)
  assert.is.not(describeSeed(other, firstOf(other)).digest, describeSeed(cluster, node).digest)
})

test('reads the marker from the ISO’s descriptor', () => {
  const { digest } = describeSeed(cluster, node)
  // Those of machines from before IDs have none.
  for (const id of [clusterId, undefined]) {
    const marker = { cluster: 'home', clusterId: id, node: 'home-cp1', digest }
    const { publisher, application } = encodeSeedMarker(marker)
    assert.equal(readSeedMarker(descriptor(publisher, application)), marker)
  }
})

test('the longest names fit into the descriptor', () => {
  const name = `a${'b'.repeat(39)}`
  const long = testCluster({ CLUSTER_NAME: name })
  const last = long.nodes.at(-1) ?? firstOf(long)
  const { publisher, application } = encodeSeedMarker({
    cluster: name,
    clusterId,
    node: last.name,
    digest: 'f'.repeat(32),
  })
  assert.ok(publisher.length <= 128 && application.length <= 128)
})

test('an ISO of another origin and a file that is not an ISO have no marker', () => {
  assert.is(readSeedMarker(descriptor('XORRISO', 'GENISOIMAGE')), undefined)
  assert.is(readSeedMarker(descriptor('TALOSMITH CLUSTER=HOME NODE=HOME-CP1', '')), undefined)
  assert.is(readSeedMarker(Buffer.alloc(0)), undefined)
})

test.run()
