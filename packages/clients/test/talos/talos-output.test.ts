import { CommandFailed } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  grpcCode,
  parseResources,
  parseTable,
  parseVersions,
  silenceOf,
  supportArguments,
  talosReason,
} from '@talosmith/clients/talos'

test('resources one after the other are told apart, whatever braces their texts hold', () => {
  const text = `{
    "metadata": { "id": "v1alpha1", "type": "MachineConfigs.config.talos.dev" },
    "node": "10.0.0.70",
    "spec": "a: \\"}{\\"\\nb: \\\\"
}
{
    "metadata": { "id": "machine", "type": "T" },
    "node": "10.0.0.80",
    "spec": { "stage": "running", "status": { "ready": true, "unmetConditions": [] } }
}
`
  const found = parseResources<unknown>(text)
  assert.equal(
    found.map(({ node }) => node),
    ['10.0.0.70', '10.0.0.80'],
  )
  assert.is(found[0]?.spec, 'a: "}{"\nb: \\')
})

test('output without resources holds none', () => {
  assert.equal(parseResources(''), [])
  assert.equal(parseResources('NODE "x" prints } nothing'), [])
})

test('a table is cut where its titles begin, so that empty cells stay empty', () => {
  const table = [
    'NODE          ID                 HOSTNAME   PEER URLS                LEARNER',
    '10.0.0.70     41e1c53bd3a9d63d   home-cp1   https://10.0.0.70:2380   false',
    '10.0.0.70     1b36ed6e55ab2ba5              https://10.0.0.71:2380   true',
  ].join('\n')
  const rows = parseTable(table)
  assert.is(rows.length, 2)
  assert.is(rows[0]?.['PEER URLS'], 'https://10.0.0.70:2380')
  assert.is(rows[1]?.['HOSTNAME'], '')
  assert.is(rows[1]?.['LEARNER'], 'true')
})

// talosctl 1.14: the table is flushed 500 ms after the last answer, so a slow machine's rows have other widths.
for (const [row, expected] of [
  [
    '10.0.0.71   62a1   2.1 MB   1.0 MB (47.62%)',
    ['10.0.0.71', '62a1', '2.1 MB', '1.0 MB (47.62%)', ''],
  ],
  [
    '10.0.0.171   8b6462d1f2a0c3d4e5   20 MB   1.0 MB (5.00%)   etcdserver: no leader',
    ['10.0.0.171', '8b6462d1f2a0c3d4e5', '20 MB', '1.0 MB (5.00%)', 'etcdserver: no leader'],
  ],
  [
    '10.0.0.70   8b6462d1f2a0c3d4   20 MB     1.0 MB (5.00%)',
    ['10.0.0.70', '8b6462d1f2a0c3d4', '20 MB', '1.0 MB (5.00%)', ''],
  ],
  [
    '10.0.0.70                      20 MB     1.0 MB (5.00%)   x',
    ['10.0.0.70', '', '20 MB', '1.0 MB (5.00%)', 'x'],
  ],
] as const)
  test(`a row is read whatever its alignment: ${row.slice(0, 30)}`, () => {
    const header = 'NODE        MEMBER             DB SIZE   IN USE           ERRORS'
    assert.equal(Object.values(parseTable(`${header}\n${row}\n`)[0] ?? {}), [...expected])
  })

for (const [version, hasFlag] of [
  ['v1.9.6', false],
  ['v1.13.9', false],
  ['v1.14.0-rc.1', true],
  ['v1.14.1', true],
] as const)
  test(`talosctl ${version} ${hasFlag ? 'is told not to encrypt' : 'does not encrypt'} a support archive`, () => {
    assert.is(supportArguments(version, '/tmp/x.zip').includes('--no-encryption'), hasFlag)
  })

// Recorded from talosctl v1.13.9.
const recorded = `Client:
	Tag:         v1.13.9
	SHA:         undefined
	OS/Arch:     linux/amd64
Server:
	NODE:        10.0.0.70
	Tag:         v1.13.9
	SHA:         5a1b2c3d
	NODE:        10.0.0.80
	Tag:         v1.13.8
`
test("the version of every machine is read, not the client's", () => {
  assert.equal(
    [...parseVersions(recorded)],
    [
      ['10.0.0.70', 'v1.13.9'],
      ['10.0.0.80', 'v1.13.8'],
    ],
  )
  assert.is(parseVersions('Client:\n\tTag: v1.13.9\nServer:\n').size, 0)
})

test('a worker that was asked alone does not name itself', () => {
  const text = 'Client:\n\tTag: v1.13.9\nServer:\n\tTag: v1.13.7\n'
  assert.equal([...parseVersions(text, '10.0.0.80')], [['10.0.0.80', 'v1.13.7']])
})

// Recorded from talosctl v1.13.9 against a machine in maintenance mode, and one that has a config.
const refusals: [string, string, string | undefined][] = [
  [
    'error applying new configuration: rpc error: code = InvalidArgument desc = error decoding document /v1alpha1/ (line 1): unknown keys found during decoding:\nmachine:\n    foo: bar\n',
    'error decoding document /v1alpha1/ (line 1): unknown keys found during decoding:\nmachine:\n    foo: bar',
    'InvalidArgument',
  ],
  [
    'error applying new configuration: rpc error: code = Unavailable desc = connection error: desc = "error reading server preface: remote error: tls: certificate required"\n',
    'remote error: tls: certificate required',
    'Unavailable',
  ],
  [
    'error getting version: rpc error: code = Unavailable desc = connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"',
    'tls: failed to verify certificate: x509: certificate signed by unknown authority',
    'Unavailable',
  ],
  [
    'WARNING: 10.0.0.70: server version v1.13.8 is older than client version v1.13.9\nrpc error: code = NotFound desc = resource "mc" is not registered',
    'resource "mc" is not registered',
    'NotFound',
  ],
  ['open x.yaml: no such file or directory', 'open x.yaml: no such file or directory', undefined],
]
for (const [stderr, reason, code] of refusals)
  test(`a refusal is read as: ${reason.split('\n')[0]}`, () => {
    const error = new CommandFailed('this machine', 'talosctl', { stdout: '', stderr, exitCode: 1 })
    assert.is(talosReason(error), reason)
    assert.is(grpcCode(error), code)
  })

test('a call without an answer is explained by its stderr', () => {
  const output = { stdout: '', stderr: '', exitCode: 124 }
  const error = new CommandFailed('this machine', 'talosctl etcd members', output, 10_000)
  assert.is(talosReason(error), 'talosctl etcd members did not end within 10 s')
})

test('a request that our time limit cancels is no answer, not a canceled context', () => {
  const stderr = 'rpc error: code = Canceled desc = context canceled\n'
  assert.is(silenceOf({ stderr, exitCode: 124 }, 4500), 'no answer within 4.5 s')
  assert.is(silenceOf({ stderr: 'i/o timeout\n', exitCode: 124 }, 4500), 'i/o timeout')
  assert.is(silenceOf({ stderr, exitCode: 1 }, 4500), 'context canceled')
  const output = { stdout: '', stderr, exitCode: 124 }
  assert.match(talosReason(new CommandFailed('this machine', 'talosctl', output, 4500)), '4.5 s')
})

test.run()
