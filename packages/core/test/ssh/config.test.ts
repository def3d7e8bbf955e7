import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Problem } from '../../src/problem.ts'
import { completeTarget, parseJump, readSshConfig } from '../../src/ssh/config.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

const test = suite('ssh-config')
const user = { home: '/home/ann', name: 'ann', agent: '/run/agent' }

const complete = (config: string, target = {}): ReturnType<typeof completeTarget> =>
  completeTarget({ host: 'kvm1', ...target }, config, user, '/project')

test('without a config there are the defaults of OpenSSH', () => {
  assert.equal(complete(''), {
    alias: 'kvm1',
    host: 'kvm1',
    port: 22,
    user: 'ann',
    hostKeyAlias: undefined,
    keyfile: undefined,
    identityFiles: [],
    defaultIdentityFiles: [
      '/home/ann/.ssh/id_ed25519',
      '/home/ann/.ssh/id_ecdsa',
      '/home/ann/.ssh/id_rsa',
    ],
    identitiesOnly: false,
    agent: '/run/agent',
    knownHostsFiles: [
      '/home/ann/.ssh/known_hosts',
      '/home/ann/.ssh/known_hosts2',
      '/etc/ssh/ssh_known_hosts',
    ],
    jumps: [],
  })
})

test('an alias gets its host name, port, user, keys, known_hosts and jumps', () => {
  const found = complete(`
IdentityFile ~/.ssh/everywhere
Host kvm*
  HostName %h.lan
  Port 2222
  User root
  IdentityFile "~/.ssh/with space"
  IdentityFile /keys/%r@%h
  IdentitiesOnly yes
  HostKeyAlias the-kvm
  UserKnownHostsFile ~/kh %d/kh2
  ProxyJump ann@jump:2200, other
Host *
  User nobody
  Port 1
`)
  assert.is(found.host, 'kvm1.lan')
  assert.is(found.port, 2222)
  assert.is(found.user, 'root')
  assert.equal(found.identityFiles, [
    '/home/ann/.ssh/everywhere',
    '/home/ann/.ssh/with space',
    '/keys/root@kvm1.lan',
  ])
  assert.equal(found.defaultIdentityFiles, [])
  assert.ok(found.identitiesOnly)
  assert.is(found.hostKeyAlias, 'the-kvm')
  assert.equal(found.knownHostsFiles, ['/home/ann/kh', '/home/ann/kh2', '/etc/ssh/ssh_known_hosts'])
  assert.equal(found.jumps, ['ann@jump:2200', 'other'])
})

test('the URI beats the config', () => {
  const config = 'Host kvm1\n  User bob\n  Port 1\n  UserKnownHostsFile /x\n'
  const found = complete(config, { user: 'root', port: 2222, keyfile: 'keys/a', knownHosts: '~/k' })
  assert.is(found.user, 'root')
  assert.is(found.port, 2222)
  assert.is(found.keyfile, '/project/keys/a')
  assert.equal(found.knownHostsFiles, ['/home/ann/k'])
})

test('keywords may be written in any case, and with =', () => {
  const found = complete('host=kvm1\n  hostname=10.0.0.5\n  PORT 2222\n')
  assert.is(found.host, '10.0.0.5')
  assert.is(found.port, 2222)
})

test('a negated pattern leaves a host out', () => {
  assert.is(complete('Host * !kvm1\n  Port 1\n').port, 22)
})

test('IdentityAgent names another agent, or none', () => {
  assert.is(complete('IdentityAgent ~/agent.sock\n').agent, '/home/ann/agent.sock')
  assert.is(complete('IdentityAgent SSH_AUTH_SOCK\n').agent, '/run/agent')
  assert.is(complete('IdentityAgent none\n').agent, undefined)
})

test('a Match exec runs nothing', () => {
  const file = join(tmpdir(), `talosmith-never-${process.pid}`)
  assert.is(complete(`Match exec "touch ${file}"\n  Port 1\n`).port, 22)
})

test('ProxyJump none and ProxyCommand none mean a direct way', () => {
  assert.equal(complete('ProxyJump none\nProxyCommand none\n').jumps, [])
})

test('a ProxyCommand is refused by name', () => {
  try {
    complete('ProxyCommand ssh -W %h:%p jump\n')
    assert.unreachable()
  } catch (error) {
    assert.ok(error instanceof Problem)
    assert.is(error.code, 'SSH_PROXY_UNSUPPORTED')
  }
})

test('jump hosts are read as OpenSSH writes them', () => {
  assert.equal(parseJump('jump'), { host: 'jump' })
  assert.equal(parseJump('ann@jump:2200'), { host: 'jump', port: 2200, user: 'ann' })
  assert.equal(parseJump('ssh://ann@[fd00::1]:2200'), { host: 'fd00::1', port: 2200, user: 'ann' })
  assert.throws(
    () => parseJump('ann@jump:x'),
    (error: unknown) => error instanceof Problem,
  )
  assert.throws(
    () => parseJump(''),
    (error: unknown) => error instanceof Problem,
  )
})

test('Include brings in files, relative to ~/.ssh, by pattern, and keeps sections apart', async () => {
  const home = temporaryFolder('config')
  const write = (name: string, text: string): void => writeFileSync(join(home, '.ssh', name), text)
  mkdirSync(join(home, '.ssh', 'conf.d'), { recursive: true })
  write('config', 'Include conf.d/*.conf ~/.ssh/more missing\nUser ann\nHost kvm1\n  Port 2222\n')
  write('conf.d/a.conf', 'Host kvm1\n  HostName 10.0.0.5\n')
  write('conf.d/b.txt', 'User nobody\n')
  write('more', 'Host other\n  User other\nInclude config\n')
  const text = await readSshConfig(join(home, '.ssh', 'config'), home)
  const found = complete(text)
  assert.is(found.host, '10.0.0.5')
  assert.is(found.user, 'ann')
  assert.is(found.port, 2222)
})

test('a config that is not there is an empty one', async () => {
  assert.is(await readSshConfig('/nowhere/config', '/nowhere'), '')
})

test.run()
