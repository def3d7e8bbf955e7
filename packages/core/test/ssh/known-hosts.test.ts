import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  checkHostKey,
  fingerprintOf,
  hostKeyAlgorithms,
  knownHostsLine,
  parseKnownHosts,
} from '../../src/ssh/known-hosts.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'
import { makeKey } from '../../src/testing/sshd.ts'

const test = suite('known_hosts')
const folder = temporaryFolder('known')
const [first, second, rsa] = ['ed25519', 'ed25519', 'rsa'].map((type, index) => {
  const file = join(folder, `key${index}`)
  makeKey(file, type)
  const [keyType = '', base64 = ''] = readFileSync(`${file}.pub`, 'utf8').split(' ')
  return { file, text: `${keyType} ${base64}`, wire: Buffer.from(base64, 'base64') }
}) as [Key, Key, Key]
interface Key {
  readonly file: string
  readonly text: string
  readonly wire: Buffer
}

/** Names in known_hosts, a host and port, and whether they fit. */
const names: [string, string, number, boolean][] = [
  ['kvm1', 'kvm1', 22, true],
  ['kvm1', 'KVM1', 22, true],
  ['KVM1', 'kvm1', 22, true],
  ['kvm1', 'kvm10', 22, false],
  ['kvm1,10.0.0.5', '10.0.0.5', 22, true],
  ['kvm.1', 'kvmx1', 22, false],
  ['[kvm1]:2222', 'kvm1', 2222, true],
  ['[kvm1]:2222', 'kvm1', 22, false],
  ['[kvm1]:2222', 'kvm1', 2223, false],
  ['kvm1', 'kvm1', 2222, true],
  ['[fd00::1]:2222', 'fd00::1', 2222, true],
  ['fd00::1', 'fd00::1', 22, true],
  ['kvm*', 'kvm1', 22, true],
  ['kvm?', 'kvm1', 22, true],
  ['kvm?', 'kvm12', 22, false],
  ['*.lan', 'kvm1.lan', 22, true],
  ['[*]:2222', 'kvm1', 2222, true],
  ['*,!kvm1', 'kvm1', 22, false],
  ['*,!kvm1', 'kvm2', 22, true],
  ['!kvm1', 'kvm2', 22, false],
]

for (const [patterns, host, port, fits] of names)
  test(`${patterns} ${fits ? 'is' : 'is not'} ${host} port ${port}`, () => {
    const known = parseKnownHosts(`${patterns} ${first.text} comment\n`)
    assert.is(checkHostKey(known, host, port, first.wire), fits ? 'known' : 'unknown')
  })

test('finds names that ssh-keygen hashed', () => {
  const file = join(folder, 'known_hosts')
  writeFileSync(file, `kvm1 ${first.text}\n[kvm2]:2222 ${first.text}\n`)
  execFileSync('ssh-keygen', ['-q', '-H', '-f', file], { stdio: 'ignore' })
  const text = readFileSync(file, 'utf8')
  assert.not.match(text, 'kvm')
  const known = parseKnownHosts(text)
  assert.is(checkHostKey(known, 'kvm1', 22, first.wire), 'known')
  assert.is(checkHostKey(known, 'kvm2', 2222, first.wire), 'known')
  assert.is(checkHostKey(known, 'kvm2', 22, first.wire), 'unknown')
  assert.is(checkHostKey(known, 'kvm1', 22, second.wire), 'changed')
})

test('another key of the same type is a change, of another type just unknown', () => {
  const known = parseKnownHosts(`kvm1 ${first.text}\n`)
  assert.is(checkHostKey(known, 'kvm1', 22, second.wire), 'changed')
  assert.is(checkHostKey(known, 'kvm1', 22, rsa.wire), 'unknown')
})

test('one of several keys of a host is enough', () => {
  const known = parseKnownHosts(`kvm1 ${first.text}\nkvm1 ${second.text}\n`)
  assert.is(checkHostKey(known, 'kvm1', 22, first.wire), 'known')
  assert.is(checkHostKey(known, 'kvm1', 22, second.wire), 'known')
})

test('another key for the plain name does not make a port changed', () => {
  const known = parseKnownHosts(`kvm1 ${first.text}\n`)
  assert.is(checkHostKey(known, 'kvm1', 2222, second.wire), 'unknown')
})

test('a revoked key is refused, even where it is known too', () => {
  const known = parseKnownHosts(`kvm1 ${first.text}\n@revoked * ${first.text}\n`)
  assert.is(checkHostKey(known, 'kvm1', 22, first.wire), 'revoked')
  assert.is(checkHostKey(known, 'kvm1', 2222, first.wire), 'revoked')
})

test('certificate authorities, comments and broken lines are passed over', () => {
  const text = [
    `@cert-authority * ${first.text}`,
    `# kvm1 ${first.text}`,
    '',
    'kvm1',
    'kvm1 ssh-ed25519',
    `@unheard-of kvm1 ${first.text}`,
    '|1|broken kvm1 x',
    '|2|a|b ssh-ed25519 x',
  ].join('\n')
  assert.is(checkHostKey(parseKnownHosts(text), 'kvm1', 22, first.wire), 'unknown')
})

test('lines may end as on Windows, and fields be parted by tabs', () => {
  const known = parseKnownHosts(`  kvm1\t${first.text}\r\n`)
  assert.is(checkHostKey(known, 'kvm1', 22, first.wire), 'known')
})

test('only algorithms of known keys are offered', () => {
  const known = parseKnownHosts(
    `kvm1 ${rsa.text}\nkvm2 ${rsa.text}\nkvm2 ${first.text}\n@revoked kvm3 ${first.text}\n`,
  )
  assert.equal(hostKeyAlgorithms(known, 'kvm1', 22), ['rsa-sha2-512', 'rsa-sha2-256'])
  assert.equal(hostKeyAlgorithms(known, 'kvm1', 2222), ['rsa-sha2-512', 'rsa-sha2-256'])
  assert.equal(hostKeyAlgorithms(known, 'kvm2', 22), [
    'ssh-ed25519',
    'rsa-sha2-512',
    'rsa-sha2-256',
  ])
  assert.is(hostKeyAlgorithms(known, 'kvm3', 22), undefined)
  assert.is(hostKeyAlgorithms(known, 'kvm4', 22), undefined)
})

test('prints the line to add and the fingerprint as ssh-keygen does', () => {
  assert.is(knownHostsLine('kvm1', 22, first.wire), `kvm1 ${first.text}`)
  assert.is(knownHostsLine('fd00::1', 2222, first.wire), `[fd00::1]:2222 ${first.text}`)
  const said = execFileSync('ssh-keygen', ['-lf', first.file], { encoding: 'utf8' })
  assert.is(said.split(' ')[1], fingerprintOf(first.wire))
})

test.run()
