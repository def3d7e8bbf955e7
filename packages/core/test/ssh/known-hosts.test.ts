import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  checkHostKey,
  findKnownKeys,
  fingerprintOf,
  hostKeyAlgorithms,
  knownHostsLine,
  type KeyVerdict,
} from '../../src/ssh/known-hosts.ts'
import { problemOf } from '../../src/testing/failure.ts'
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

/** The verdict of a known_hosts file with this text on a host key. */
async function verdict(text: string, host: string, port: number, key: Key): Promise<KeyVerdict> {
  return checkHostKey(await findKnownKeys([write(text)], host, port), key.wire)
}

function write(text: string): string {
  const file = join(folder, 'known_hosts')
  writeFileSync(file, text)
  return file
}

for (const [patterns, host, port, fits] of names)
  test(`${patterns} ${fits ? 'is' : 'is not'} ${host} port ${port}`, async () => {
    const text = `${patterns} ${first.text} comment\n`
    assert.is(await verdict(text, host, port, first), fits ? 'known' : 'unknown')
  })

test('finds names hashed by ssh-keygen', async () => {
  const file = write(`kvm1 ${first.text}\n[kvm2]:2222 ${first.text}\n`)
  execFileSync('ssh-keygen', ['-q', '-H', '-f', file], { stdio: 'ignore' })
  const text = readFileSync(file, 'utf8')
  assert.not.match(text, 'kvm')
  assert.is(await verdict(text, 'kvm1', 22, first), 'known')
  assert.is(await verdict(text, 'KVM1', 22, first), 'known')
  assert.is(await verdict(text, 'kvm2', 2222, first), 'known')
  assert.is(await verdict(text, 'kvm2', 22, first), 'unknown')
  assert.is(await verdict(text, 'kvm1', 22, second), 'changed')
})

test('another key of the same type is a change, of another type just unknown', async () => {
  const text = `kvm1 ${first.text}\n`
  assert.is(await verdict(text, 'kvm1', 22, second), 'changed')
  assert.is(await verdict(text, 'kvm1', 22, rsa), 'unknown')
})

test('one of several keys of a host is enough', async () => {
  const text = `kvm1 ${first.text}\nkvm1 ${second.text}\n`
  assert.is(await verdict(text, 'kvm1', 22, first), 'known')
  assert.is(await verdict(text, 'kvm1', 22, second), 'known')
})

test('another key for the plain name does not make a port changed', async () => {
  assert.is(await verdict(`kvm1 ${first.text}\n`, 'kvm1', 2222, second), 'unknown')
})

test('a revoked key is refused, even where it is known too', async () => {
  const text = `kvm1 ${first.text}\n@revoked * ${first.text}\n`
  assert.is(await verdict(text, 'kvm1', 22, first), 'revoked')
  assert.is(await verdict(text, 'kvm1', 2222, first), 'revoked')
})

test('all files count: a key known in one may be revoked in another', async () => {
  const revoked = join(folder, 'revoked')
  writeFileSync(revoked, `@revoked kvm1 ${first.text}\n`)
  const known = await findKnownKeys([write(`kvm1 ${first.text}\n`), revoked], 'kvm1', 22)
  assert.is(checkHostKey(known, first.wire), 'revoked')
})

test('missing and empty files, and no files, have no keys', async () => {
  const files = [join(folder, 'missing'), write(''), '/dev/null', folder]
  assert.equal(await findKnownKeys(files, 'kvm1', 2222), { named: [], plain: [] })
})

test('a lookup that fails is a Problem and no unknown key', async () => {
  const programs = temporaryFolder('programs')
  const { PATH } = process.env
  writeFileSync(
    join(programs, 'ssh-keygen'),
    `#!/bin/sh\necho 'kvm1 ${first.text}'; echo broken >&2; exit 255\n`,
    { mode: 0o755 },
  )
  process.env['PATH'] = programs
  try {
    const problem = await problemOf(findKnownKeys([write('x')], 'kvm1', 22))
    assert.is(problem.code, 'SSH_KNOWN_HOSTS_UNREADABLE')
    assert.is(problem.because, 'broken')
  } finally {
    process.env['PATH'] = PATH
  }
})

test('certificate authorities, comments and broken lines are skipped', async () => {
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
  assert.is(await verdict(text, 'kvm1', 22, first), 'unknown')
  assert.is(await verdict(`${text}\nkvm1 ${second.text}\n`, 'kvm1', 22, second), 'known')
})

test('lines may end with CRLF, and fields be separated by tabs', async () => {
  assert.is(await verdict(`  kvm1\t${first.text}\r\n`, 'kvm1', 22, first), 'known')
})

test('only algorithms of known keys are offered', async () => {
  const file = write(
    `kvm1 ${rsa.text}\nkvm2 ${rsa.text}\nkvm2 ${first.text}\n@revoked kvm3 ${first.text}\n`,
  )
  const offered = async (host: string, port: number): Promise<string[] | undefined> =>
    hostKeyAlgorithms(await findKnownKeys([file], host, port))
  assert.equal(await offered('kvm1', 22), ['rsa-sha2-512', 'rsa-sha2-256'])
  assert.equal(await offered('kvm1', 2222), ['rsa-sha2-512', 'rsa-sha2-256'])
  assert.equal(await offered('kvm2', 22), ['ssh-ed25519', 'rsa-sha2-512', 'rsa-sha2-256'])
  assert.is(await offered('kvm3', 22), undefined)
  assert.is(await offered('kvm4', 22), undefined)
})

test('prints the line to add and the fingerprint as ssh-keygen does', () => {
  assert.is(knownHostsLine('kvm1', 22, first.wire), `kvm1 ${first.text}`)
  assert.is(knownHostsLine('fd00::1', 2222, first.wire), `[fd00::1]:2222 ${first.text}`)
  const output = execFileSync('ssh-keygen', ['-lf', first.file], { encoding: 'utf8' })
  assert.is(output.split(' ')[1], fingerprintOf(first.wire))
})

test.run()
